#pragma once

/*
 * What is over, but may be touched until the loop's turn is: handed to
 * server_release() (server.h), which frees it then.
 */

struct garbage {
	struct garbage *next;
	void (*free)(struct garbage *g);
};
