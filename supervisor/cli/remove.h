#pragma once

/* Remove a directory with all that is below it, never through a link. 0 when
 * it is not there. */
int remove_tree(const char *path);
