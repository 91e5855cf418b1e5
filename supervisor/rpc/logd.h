#pragma once

/*
 * The messages between thoxd and thox-logd, framed as on every link.
 *
 * thoxd makes a pipe for each stream of a service and hands its reading end
 * over; it keeps another, so that a new thox-logd goes on where one ended.
 * thox-logd's descriptor 3 is this link.
 */

#define LOGD_LINK_FD 3

#define LOGD_KEEP	  8U
#define LOGD_ROTATE_BYTES (8U << 20)

enum logd_kind {
	/* --- thoxd to thox-logd --- */

	/*
	 * [112, stream, {…}] + fd: read it. Keys: service, instance ("" or
	 * absent: none), error (bool: it is stderr), keep (files kept beside
	 * the current one, LOGD_KEEP), rotate_bytes (LOGD_ROTATE_BYTES),
	 * rotate_ms (age; 0: never), rate_bytes (a second, 0: as fast as it
	 * goes). Those that are absent are as said here, false or 0.
	 */
	LOGD_OPEN = 112,
	/* [113, stream, pid]: from here on its lines are this process's.
	 * Nothing is read before the first. */
	LOGD_PID = 113,
	/* [114, token]: answered when all that was in the pipes is in files */
	LOGD_SYNC = 114,

	/* --- thox-logd to thoxd --- */

	/* [120, stream]: its end was read and written; forgotten */
	LOGD_ENDED = 120,
	/* [121, token] */
	LOGD_SYNCED = 121,
	/* [122, service, message]: told once until it is over, then with an
	 * empty message */
	LOGD_PROBLEM = 122,
};
