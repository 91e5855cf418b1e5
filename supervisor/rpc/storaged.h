#pragma once

/*
 * thoxd and its thox-storaged: a native process like others, whose control
 * link was made before it was born.
 */

#define STORAGED_LINK_FD 3
