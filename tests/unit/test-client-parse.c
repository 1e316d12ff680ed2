/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and sizes as people type them (client/parse.h). */
#include "errors.h"
#include "parse.h"

static void test_size_accepts(void)
{
	static const struct {
		const char *text;
		guint64 bytes;
	} sizes[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "512B", 512 },
		{ "4k", 4096 },
		{ "4K", 4096 },
		{ "4KiB", 4096 },
		{ "4kib", 4096 },
		{ "10M", 10485760 },
		{ "3G", G_GUINT64_CONSTANT(3221225472) },
		{ "2T", G_GUINT64_CONSTANT(2199023255552) },
		{ "1P", G_GUINT64_CONSTANT(1125899906842624) },
		{ "8191P", G_GUINT64_CONSTANT(8191) << 50 },
		{ "9223372036854775807", G_MAXINT64 },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(GError) error = NULL;
		guint64 bytes = 1;

		g_assert_true(parse_size(sizes[i].text, G_MAXINT64, &bytes, &error));
		g_assert_no_error(error);
		g_assert_cmpuint(bytes, ==, sizes[i].bytes);
	}
}

static void test_size_refuses(void)
{
	static const char *const sizes[] = {
		"",
		"G",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1.5G",
		"1e3",
		"0x10",
		"1GB",
		"1KB",
		"1Gi",
		"1X",
		"1KK",
		"8192P",
		"9223372036854775808",
		"18446744073709551616",
		"99999999999999999999999999999999",
		"1é",
	};

	for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autoptr(GError) error = NULL;
		guint64 bytes;

		g_assert_false(parse_size(sizes[i], G_MAXINT64, &bytes, &error));
		g_assert_error(error, CLIENT_ERROR, EXIT_CODE_USAGE);
		g_assert_nonnull(strstr(error->message, sizes[i]));
	}
}

static void test_size_maximum(void)
{
	guint64 bytes;

	/* A depth or a request size is 32 bits wide: what does not fit must not wrap. */
	g_assert_false(parse_size("4G", G_MAXUINT32, &bytes, NULL));
	g_assert_true(parse_size("4294967295", G_MAXUINT32, &bytes, NULL));
	g_assert_false(parse_size("4294967296", G_MAXUINT32, &bytes, NULL));
	g_assert_true(parse_size("16777215T", G_MAXUINT64, &bytes, NULL));
	g_assert_false(parse_size("16777216T", G_MAXUINT64, &bytes, NULL));
}

static void test_number(void)
{
	static const char *const wrong[] = { "",   "-1", "1k",         "1 ",
					     " 1", "x",  "4294967296", "18446744073709551616" };
	guint64 number;

	g_assert_true(parse_number("0", G_MAXUINT32, &number, NULL));
	g_assert_cmpuint(number, ==, 0);
	g_assert_true(parse_number("4294967295", G_MAXUINT32, &number, NULL));
	g_assert_cmpuint(number, ==, G_MAXUINT32);
	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_false(parse_number(wrong[i], G_MAXUINT32, &number, NULL));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/parse/size-accepts", test_size_accepts);
	g_test_add_func("/client/parse/size-refuses", test_size_refuses);
	g_test_add_func("/client/parse/size-maximum", test_size_maximum);
	g_test_add_func("/client/parse/number", test_number);
	return g_test_run();
}
