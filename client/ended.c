/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ended.h"

#include "device-word.h"
#include "errors.h"
#include "output.h"

/* The last of the user's devices that @word would have meant; NULL: none that ublkd remembers. */
static GVariant *find(GVariant *all, const char *word, guint32 uid)
{
	for (gsize i = 0; i < g_variant_n_children(all); i++) {
		g_autoptr(GVariant) properties = g_variant_get_child_value(all, i);
		g_autoptr(Device) device = device_new("", properties);
		char *const words[] = { (char *)word, NULL };

		if (device_word_selects(device, words, uid, FALSE))
			return g_steal_pointer(&properties);
	}
	return NULL;
}

void ended_explain(Bus *bus, const char *word, guint32 uid, GError **error)
{
	g_autoptr(GVariant) reply = NULL, all = NULL, ended = NULL;
	g_autofree char *ending = NULL, *time = NULL;
	guint64 at;

	if (!g_error_matches(*error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND))
		return;
	/* An older ublkd has no such method, and then there is nothing to say. */
	reply = bus_call(bus, UBLK_BUS_MANAGER_PATH, UBLK_BUS_MANAGER_INTERFACE, "GetEnded",
			 g_variant_new("(@a{sv})", bus_no_options()), "(aa{sv})", NULL, NULL, NULL);
	all = reply ? g_variant_get_child_value(reply, 0) : NULL;
	ended = all ? find(all, word, uid) : NULL;
	if (!ended || !g_variant_lookup(ended, "Ending", "s", &ending) ||
	    !g_variant_lookup(ended, "EndedAt", "t", &at))
		return;
	time = output_format_time(at);
	g_clear_error(error);
	g_set_error(error, CLIENT_ERROR, EXIT_CODE_NOT_FOUND, "“%s” went away at %s: %s", word,
		    time ? time : "some time", ending);
}
