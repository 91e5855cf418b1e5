/* Fuzz: what programs ask thox-http for. */

#include "contrib/http/spec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct spec *s)
{
	for (unsigned i = 0; i < s->n_headers; i++)
		if (strpbrk(s->headers[i], "\r\n"))
			__builtin_trap();
	if (strlen(s->url) > SPEC_URL_BYTES || strpbrk(s->url, " \r\n"))
		__builtin_trap();
	spec_drop_secrets(s);
	spec_deinit(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mp_bytes args = { (const char *)data, size };
	const char *problem;
	struct spec s;

	if (spec_parse_get(args, &s, &problem) == 0)
		check(&s);
	if (spec_parse_request(args, &s, &problem) == 0)
		check(&s);
	return 0;
}
