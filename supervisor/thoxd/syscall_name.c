/*
 * Step 9: the number in a trap report, for people.
 */

#include "thoxd/syscall_name.h"

#include <stddef.h>
#include <sys/syscall.h>

#include "base/util.h"

static const struct {
	unsigned number;
	const char *name;
} names[] = {
#include "thoxd/syscall_names.inc"
};

const char *syscall_name(uint64_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}
