#pragma once

/*
 * Everything of storage that a caller can make grow, with its limit.
 */

/* --- keys --- */
#define STORAGE_KEY_BYTES    1024U
#define STORAGE_VALUE_BYTES  (1U << 20)
#define STORAGE_KEYS_BYTES   (64ULL << 20) /* of a program, by default */
#define STORAGE_KEY_OVERHEAD 32U	   /* counted for each key */
#define STORAGE_READS_MAX    1024U	   /* in one transaction */
#define STORAGE_WRITES_MAX   1024U	   /* in one transaction */
/* Keys in one answer, with four values each: a program takes 4,096 values. */
#define STORAGE_LIST_MAX   1000U
#define STORAGE_LIST_BYTES (256U << 10)			 /* and their bytes */
#define STORAGE_TTL_MS	   (100ULL * 366 * 86400 * 1000) /* 100 years */
/* What one program may have answered without a sync and not yet committed;
 * who writes more waits. Fewer than half of STORAGE_VERSIONS. */
#define STORAGE_DIRTY_KEYS  16384U
#define STORAGE_DIRTY_BYTES (8U << 20)
/* Version numbers that are set aside at a time; a crash skips the rest. */
#define STORAGE_VERSIONS 65536U

/* --- memory --- */
#define STORAGE_CACHE_BYTES (64U << 20) /* keys of all programs */
#define STORAGE_OPEN_MAX    64U		/* databases at a time */
#define STORAGE_WORKERS	    4U		/* threads that commit */
#define STORAGE_SQLITE_KIB  256		/* page cache of a connection */

/* --- time --- */
#define STORAGE_CLAIM_MS 2000 /* for a former thox-storaged to end */
#define STORAGE_GROUP_MS 10U  /* a write is committed after it */
#define STORAGE_DUE_MAX	 256U /* expired keys removed in one go */

/* --- disk --- */
#define STORAGE_SPARE_BYTES (4ULL << 20) /* left free of new data */
#define STORAGE_WAL_FRAMES  4000	 /* then they go into the file: 8 MiB */
#define STORAGE_LOCKED_MS   5000	 /* wait for a foreign writer */

/* --- watches --- */
#define STORAGE_WATCH_KEYS    16384U	  /* that wait to be told */
#define STORAGE_WATCH_BYTES   (1U << 20)  /* and their bytes */
#define STORAGE_CHANGES_BYTES (64U << 10) /* in one answer */

/* --- locks --- */
#define STORAGE_LOCK_NAME_BYTES 128U
#define STORAGE_LOCK_WAIT_MS	30000U
/* Contexts of locks that were given back, and may be handed out again. */
#define STORAGE_SPARES_MAX 64U

/* --- calls --- */
#define STORAGE_OBJECTS_MAX 256U /* contexts that were handed to one caller */

/* --- streams --- */
#define STORAGE_STREAM_CALL_BYTES (8U << 20) /* that one call carries */
/* Files of one program that were replaced while somebody had a descriptor of
 * them, and still has: each may be as large as its limit. */
#define STORAGE_PINS_OLD 2U
#define STORAGE_PINS_MAX 4096U /* files of which descriptors are out */
