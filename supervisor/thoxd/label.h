#pragma once

/*
 * This machine's label: how others call it, and what os.label() answers.
 *
 * The one that `thoxctl label NAME` set, which the state directory keeps;
 * else the one of thoxd.conf; else the host's name. A process keeps the one
 * with which it was started.
 */

struct server;

/* By the configuration and what was kept. */
void label_init(struct server *s);
/* 0; -EINVAL for what is no label; or it cannot be kept, and stays. */
int label_set(struct server *s, const char *label);
