/*
 * No sandbox, no start: each layer, made unavailable.
 */

#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/tap.h"
#include "base/util.h"
#include "runner/play.h"

/* Verify that a zygote whose layer the kernel refuses says which, and why, and
 * makes no runner. */
static void test_a_missing_layer_is_named(void)
{
	static const struct {
		struct play_deny deny;
		const char *message;
	} layers[] = {
		{ { SYS_unshare, CLONE_NEWUSER }, "user namespace" },
		{ { SYS_unshare, CLONE_NEWNET }, "network namespace" },
		{ { SYS_unshare, CLONE_NEWNS }, "mount namespace" },
		{ { SYS_pivot_root, -1 }, "empty root" },
		{ { SYS_umount2, -1 }, "empty root" },
		{ { SYS_unshare, CLONE_NEWIPC }, "IPC namespace" },
		{ { SYS_unshare, CLONE_NEWUTS }, "UTS namespace" },
#ifndef THOX_SANITIZED /* whose own start needs it */
		{ { SYS_prlimit64, -1 }, "resource limits" },
#endif
		{ { SYS_prctl, PR_CAPBSET_DROP }, "capabilities" },
		{ { SYS_capset, -1 }, "capabilities" },
		{ { SYS_prctl, PR_SET_NO_NEW_PRIVS }, "no_new_privs" },
		{ { SYS_landlock_create_ruleset, -1 }, "Landlock" },
		{ { SYS_landlock_restrict_self, -1 }, "Landlock" },
		{ { SYS_prctl, PR_SET_PDEATHSIG }, "parent death signal" },
		{ { SYS_seccomp, 1 }, "seccomp" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		char message[256], expected[128];
		struct play_zygote z;

		snprintf(expected, sizeof(expected),
			 "layer: %s: Operation not permitted",
			 layers[i].message);
		CHECK_EQ(play_open(&z, NULL, &layers[i].deny, message), -1);
		CHECK_STR(message, expected);
	}
}

/* Verify that what not every kernel offers is done without. */
static void test_mdwe_may_be_missing(void)
{
	static const struct play_deny deny = { SYS_prctl, 65 };
	char message[256];
	struct play_zygote z;

	CHECK_EQ(play_open(&z, NULL, &deny, message), 0);
	play_close(&z);
}

int main(void)
{
	RUN(test_a_missing_layer_is_named);
	RUN(test_mdwe_may_be_missing);
	return tap_done();
}
