/* Fuzz: values of programs to JSON, and JSON of the command line to values;
 * whatever goes out as JSON comes in again. */

#include "cli/luajson.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void outward(const uint8_t *data, size_t size)
{
	struct mp_reader r;
	struct mp_writer w;
	json_t *value;

	mp_reader_init(&r, data, size);
	value = luajson_from_mp(&r);
	if (!value)
		return;
	mp_writer_init_heap(&w);
	(void)luajson_to_mp(&w, value);
	mp_writer_deinit(&w);
	json_decref(value);
}

static void inward(const uint8_t *data, size_t size)
{
	struct mp_writer w;
	struct mp_reader r;
	char *text = malloc(size + 1);

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	mp_writer_init_heap(&w);
	if (luajson_write_argument(&w, text) == 0) {
		mp_reader_init(&r, w.data, w.used);
		json_decref(luajson_from_mp(&r));
	}
	mp_writer_deinit(&w);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;

	if (!null)
		null = fopen("/dev/null", "w");
	outward(data, size);
	inward(data, size);
	if (null)
		luajson_print_words(
			null, (struct mp_bytes){ (const char *)data, size },
			true);
	return 0;
}
