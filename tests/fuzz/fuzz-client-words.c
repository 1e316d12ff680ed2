/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a person types for a device, a number or a size. */
#include <string.h>

#include "device-word.h"
#include "errors.h"
#include "fuzz-glib.h"
#include "output.h"
#include "parse.h"

static GPtrArray *devices(void)
{
	static GPtrArray *list;

	if (!list) {
		g_autoptr(GVariant) reply = g_variant_parse(
			G_VARIANT_TYPE("(a{oa{sa{sv}}})"),
			"({'/org/ublk1/devices/7': {'org.ublk1.Device': {'Id': <uint32 7>, "
			"'Name': <'work'>, 'OwnerUid': <uint32 1000>}},"
			"'/org/ublk1/devices/0': {'org.ublk1.Device': {'Id': <uint32 0>, "
			"'Name': <'7'>, 'OwnerUid': <uint32 0>}}},)",
			NULL, NULL, NULL);

		list = device_list_from_reply(reply);
	}
	return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *word = g_strndup((const char *)data, size);
	g_autofree char *escaped = NULL, *shown = NULL;
	g_autoptr(GError) error = NULL;
	guint64 number = 0, bytes = 0, max;
	Device *device;

	fuzz_init();
	device = device_word_find(devices(), word, 1000, &error);
	FUZZ_ASSERT(!device == !!error);
	g_clear_error(&error);
	if (parse_number(word, G_MAXUINT64, &number, NULL)) {
		/* a number of bytes is a size */
		FUZZ_ASSERT(parse_size(word, G_MAXUINT64, &bytes, NULL) && bytes == number);
	}
	if (parse_size(word, G_MAXUINT64, &bytes, NULL)) {
		max = bytes;
		FUZZ_ASSERT(parse_size(word, max, &number, NULL) && number == bytes);
		FUZZ_ASSERT(max == 0 || !parse_size(word, max - 1, &number, NULL));
		shown = output_format_size(bytes);
		FUZZ_ASSERT(shown && *shown);
	}
	escaped = output_escape_text(word);
	FUZZ_ASSERT(g_utf8_validate(escaped, -1, NULL));
	for (const char *p = escaped; *p; p++)
		FUZZ_ASSERT(!g_ascii_iscntrl(*p));
	return 0;
}
