/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seccomp-profile.h"

#include "errors.h"
#include "json.h"

static const char *const calls[] = { "io_uring_setup", "io_uring_enter", "io_uring_register",
				     NULL };

static GVariant *get_child(GVariant *array, gsize i)
{
	g_autoptr(GVariant) boxed = g_variant_get_child_value(array, i);

	return g_variant_get_variant(boxed);
}

/* The names of a rule but ours; none left: NULL. */
static GVariant *without_calls(GVariant *names)
{
	GVariantBuilder left;
	gsize n = 0;

	g_variant_builder_init(&left, G_VARIANT_TYPE("av"));
	for (gsize i = 0; i < g_variant_n_children(names); i++) {
		g_autoptr(GVariant) name = get_child(names, i);

		if (g_variant_is_of_type(name, G_VARIANT_TYPE_STRING) &&
		    g_strv_contains(calls, g_variant_get_string(name, NULL)))
			continue;
		g_variant_builder_add(&left, "v", name);
		n++;
	}
	if (n)
		return g_variant_builder_end(&left);
	g_variant_builder_clear(&left);
	return NULL;
}

/* A copy of a dictionary with another value for @key. */
static GVariant *with_value(GVariant *dict, const char *key, GVariant *value)
{
	GVariantBuilder copy;
	GVariantIter iter;
	const char *name;
	GVariant *old;

	g_variant_builder_init(&copy, G_VARIANT_TYPE_VARDICT);
	g_variant_iter_init(&iter, dict);
	while (g_variant_iter_next(&iter, "{&sv}", &name, &old)) {
		g_variant_builder_add(&copy, "{sv}", name, g_str_equal(name, key) ? value : old);
		g_variant_unref(old);
	}
	return g_variant_builder_end(&copy);
}

static void add_rule(GVariantBuilder *rules, GVariant *rule)
{
	g_autoptr(GVariant) names = NULL;
	GVariant *left;

	if (g_variant_is_of_type(rule, G_VARIANT_TYPE_VARDICT))
		names = g_variant_lookup_value(rule, "names", G_VARIANT_TYPE("av"));
	if (!names) {
		g_variant_builder_add(rules, "v", rule);
		return;
	}
	left = without_calls(names);
	if (left)
		g_variant_builder_add(rules, "v", with_value(rule, "names", left));
}

static GVariant *make_rule(void)
{
	GVariantBuilder rule;

	g_variant_builder_init(&rule, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&rule, "{sv}", "names", g_variant_new_strv(calls, -1));
	g_variant_builder_add(&rule, "{sv}", "action", g_variant_new_string("SCMP_ACT_ALLOW"));
	return g_variant_builder_end(&rule);
}

char *seccomp_profile_allow_uring(const char *profile, GError **error)
{
	g_autoptr(GVariant) old = json_parse(profile, error);
	g_autoptr(GVariant) rules = NULL;
	GVariantBuilder all;

	if (!old)
		return NULL;
	if (g_variant_is_of_type(old, G_VARIANT_TYPE_VARDICT))
		rules = g_variant_lookup_value(old, "syscalls", G_VARIANT_TYPE("av"));
	if (!rules) {
		g_set_error(error, CLIENT_ERROR, EXIT_CODE_FAILURE,
			    "it is no seccomp profile of a container engine: there are no "
			    "“syscalls” in it");
		return NULL;
	}
	g_variant_builder_init(&all, G_VARIANT_TYPE("av"));
	for (gsize i = 0; i < g_variant_n_children(rules); i++) {
		g_autoptr(GVariant) rule = get_child(rules, i);

		add_rule(&all, rule);
	}
	g_variant_builder_add(&all, "v", make_rule());
	return json_print(with_value(old, "syscalls", g_variant_builder_end(&all)));
}
