#pragma once

/*
 * Calls about texts, for the table of native.c: of programs, libraries and
 * runtimes alike, which the call's name says.
 *
 *	get(name)	the text and its version; nil when there is none
 *	set(name, text)	the new version
 *	list()		the names
 *	remove(name)
 */

struct native_call;

#define NATIVE_TEXT_BYTES (4U << 20) /* that get answers */

int native_store_get(struct native_call *c);
int native_store_set(struct native_call *c);
int native_store_list(struct native_call *c);
int native_store_remove(struct native_call *c);
