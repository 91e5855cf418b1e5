#pragma once

/*
 * What the commands for services share.
 */

#include <jansson.h>

#include "cli/ctl.h"

/* {names: the operands}, or NULL when one is no text. */
json_t *ctl_service_names(const struct ctl *ctl);
/* service.status of the operands; all services without any. An exit code. */
int ctl_service_ask(struct ctl *ctl, const char *verb, json_t **ret_rows);

const char *ctl_service_text(const json_t *row, const char *key);
bool ctl_service_is(const json_t *row, const char *state);
/* running, reloading, or done as asked: `is-active` */
bool ctl_service_active(const json_t *row);
