#pragma once

/*
 * The commands for services (rpc/control.h has their forms).
 */

struct request;

enum service_order {
	SERVICE_START,
	SERVICE_STOP,
	SERVICE_RESTART,
	SERVICE_TRY_RESTART,
	SERVICE_RELOAD,
	SERVICE_RESET,
};

int service_request_order(struct request *q);  /* number: service_order */
int service_request_enable(struct request *q); /* number: on or off */
int service_request_list(struct request *q);
int service_request_status(struct request *q);
