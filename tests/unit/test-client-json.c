/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON that is read, and what is made of it: container engines' seccomp profiles. */
#include <string.h>

#include "errors.h"
#include "json.h"
#include "seccomp-profile.h"

static void assert_same(const char *text, const char *expected)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) value = json_parse(text, &error);
	g_autofree char *printed = NULL;

	g_assert_no_error(error);
	printed = json_print(value);
	/* as it was, but for spaces */
	g_assert_cmpstr(printed, ==, expected);
}

static void test_values(void)
{
	assert_same(" true ", "true");
	assert_same("false", "false");
	assert_same("null", "null");
	assert_same("-9223372036854775808", "-9223372036854775808");
	assert_same("1.5e1", "15");
	assert_same("\"\"", "\"\"");
	assert_same("[]", "[]");
	assert_same("{}", "{}");
	assert_same("[1, \"a\",null]", "[\n  1,\n  \"a\",\n  null\n]");
	/* the order of keys stays */
	assert_same("{\"b\":1,\"a\":{\"c\":[]}}",
		    "{\n  \"b\": 1,\n  \"a\": {\n    \"c\": []\n  }\n}");
}

static void test_strings(void)
{
	assert_same("\"a\\\"\\\\\\/\\n\\t\\u0041\"", "\"a\\\"\\\\/\\n\\tA\"");
	assert_same("\"\\b\\f\\r\"", "\"\\u0008\\u000c\\u000d\"");
	assert_same("\"\\u00e9\\ud834\\udd1e\"", "\"é𝄞\"");
}

static void test_wrong(void)
{
	static const char *const wrong[] = {
		"",
		" ",
		"tru",
		"[1,]",
		"[1",
		"{\"a\"}",
		"{\"a\":}",
		"{a:1}",
		"{\"a\":1",
		"[1 2]",
		"1 2",
		"\"a",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\n\"",
		"+1",
		"1-1",
		"--1",
		"1e",
		".",
		"[}",
		"{]",
		"\"\\u0000\"",
		"\"\\ud834\"",
		"\"\\udd1e\"",
		"\"\xff\"",
		"99999999999999999999",
		"\"\\",
	};
	g_autofree char *deep = g_strnfill(100000, '[');

	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(GVariant) value = json_parse(wrong[i], &error);

		g_test_message("case %zu", i);
		g_assert_null(value);
		g_assert_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE);
	}
	{
		g_autoptr(GError) error = NULL;

		g_assert_null(json_parse(deep, &error));
		g_assert_nonnull(strstr(error->message, "nesting"));
	}
}

/* Without spaces. */
static char *make_profile(const char *profile)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = seccomp_profile_allow_uring(profile, &error);
	g_auto(GStrv) words = NULL;

	g_assert_no_error(error);
	words = g_strsplit_set(text, " \n", -1);
	return g_strjoinv("", words);
}

#define ALLOWED                                                                                \
	"{\"names\":[\"io_uring_setup\",\"io_uring_enter\",\"io_uring_register\"],\"action\":" \
	"\"SCMP_ACT_ALLOW\"}"

static void test_profile(void)
{
	g_autofree char *plain =
		make_profile("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
			     "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
			     "\"args\":[{\"index\":0,\"value\":1}]}],\"more\":null}");
	g_autofree char *refused =
		make_profile("{\"syscalls\":[{\"names\":[\"bpf\",\"io_uring_setup\"],\"action\":"
			     "\"SCMP_ACT_ERRNO\"},{\"names\":[\"io_uring_enter\"],\"action\":"
			     "\"SCMP_ACT_KILL\"}]}");
	g_autofree char *empty = make_profile("{\"syscalls\":[]}");

	g_assert_cmpstr(plain, ==,
			"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
			"\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\","
			"\"args\":[{\"index\":0,\"value\":1}]}," ALLOWED "],\"more\":null}");
	/* two rules about one call would be an error to the engine, or the first one would count */
	g_assert_cmpstr(
		refused, ==,
		"{\"syscalls\":[{\"names\":[\"bpf\"],\"action\":\"SCMP_ACT_ERRNO\"}," ALLOWED "]}");
	g_assert_cmpstr(empty, ==, "{\"syscalls\":[" ALLOWED "]}");
}

static void test_no_profile(void)
{
	static const char *const wrong[] = { "[]", "{}", "{\"syscalls\":{}}", "{\"syscalls\":" };

	for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(seccomp_profile_allow_uring(wrong[i], &error));
		g_assert_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/client/json/values", test_values);
	g_test_add_func("/client/json/strings", test_strings);
	g_test_add_func("/client/json/wrong", test_wrong);
	g_test_add_func("/client/seccomp/allows-io-uring", test_profile);
	g_test_add_func("/client/seccomp/no-profile", test_no_profile);
	return g_test_run();
}
