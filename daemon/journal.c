/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal.h"

#include <string.h>

#define MAX_FIELDS 16

/* The ids are known to ublkd.catalog and to whoever looks for them: they do not change. */
static const struct {
	const char *counter; /* of journal_describe_counts(); NULL: none */
	const char *id;
	GLogLevelFlags level;
	const char *action; /* unless it is another */
} events[JOURNAL_EVENTS] = {
	[JOURNAL_ALLOWED] = { "allowed", "291fe62564b9493ea06ab6247eee42cb", G_LOG_LEVEL_MESSAGE },
	[JOURNAL_REFUSED] = { "refused", "1e519e4a3d06483198576beb9131f7c0", G_LOG_LEVEL_MESSAGE },
	[JOURNAL_UNTOLD] = { NULL, "4f5def9afd084174bf946d31d8c80948", G_LOG_LEVEL_MESSAGE },
	[JOURNAL_CREATED] = { "created", "6b40e5cb92624142a9835a80d6fe2778", G_LOG_LEVEL_MESSAGE,
			      "create" },
	[JOURNAL_LIVE] = { "live", "afec298f9f9349a59f74e00d52bb7190", G_LOG_LEVEL_MESSAGE,
			   "start" },
	[JOURNAL_TAKEN_OVER] = { "taken-over", "d25e7c375caa45bc88da3484c71ffc9b",
				 G_LOG_LEVEL_MESSAGE, "take over" },
	[JOURNAL_GOES] = { "deleted", "4aba2e840e9549e69c3fe1cd526c3d67", G_LOG_LEVEL_MESSAGE,
			   "delete" },
	[JOURNAL_STAYS] = { "stuck", "1c0479d6f71640c6a7e05424fd351fb1", G_LOG_LEVEL_WARNING,
			    "delete" },
	[JOURNAL_SERVER_ENDED] = { "server-ended", "c9445db39d084cb29fce3c310264d88f",
				   G_LOG_LEVEL_MESSAGE, "end of the server" },
	[JOURNAL_OPENED] = { "opened", "6b0e687a89374054a212bfbc3fbdd0ba", G_LOG_LEVEL_MESSAGE,
			     "open" },
	[JOURNAL_SEIZED] = { "seized", "c9e05f269ec84c24bfb8ca2b70e38870", G_LOG_LEVEL_MESSAGE,
			     "seize" },
	[JOURNAL_MISTAKE] = { "mistake", "981ff7f8516c4b55b8bf21193afa8b33", G_LOG_LEVEL_WARNING,
			      "read the settings" },
	[JOURNAL_RELOADED] = { "reloaded", "22c52ff804ec48ba95e9187c784864f8", G_LOG_LEVEL_MESSAGE,
			       "read the settings" },
};

static guint64 counts[JOURNAL_EVENTS];

typedef struct {
	GLogField fields[MAX_FIELDS];
	gsize n;
	char numbers[MAX_FIELDS][16];
} Entry;

static void add(Entry *entry, const char *key, const char *value)
{
	g_assert(entry->n < MAX_FIELDS);
	if (value)
		entry->fields[entry->n++] = (GLogField){ key, value, -1 };
}

static void add_number(Entry *entry, const char *key, guint value)
{
	char *text = entry->numbers[entry->n];

	g_snprintf(text, sizeof(entry->numbers[0]), "%u", value);
	add(entry, key, text);
}

void journal_count(JournalEvent event)
{
	counts[event]++;
}

GVariant *journal_describe_counts(void)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE("a{st}"));
	for (gsize i = 0; i < JOURNAL_EVENTS; i++)
		if (events[i].counter)
			g_variant_builder_add(&builder, "{st}", events[i].counter, counts[i]);
	return g_variant_builder_end(&builder);
}

void journal_tell(JournalEvent event, const JournalAbout *about, const char *format, ...)
{
	gboolean warning = events[event].level == G_LOG_LEVEL_WARNING;
	g_autofree char *message = NULL;
	Entry entry = { .n = 0 };
	va_list args;

	journal_count(event);
	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	add(&entry, "MESSAGE", message);
	add(&entry, "MESSAGE_ID", events[event].id);
	add(&entry, "PRIORITY", warning ? "4" : "5");
	add(&entry, "GLIB_DOMAIN", G_LOG_DOMAIN);
	add(&entry, "UBLK_ACTION", about->action ? about->action : events[event].action);
	add(&entry, "UBLK_POLKIT_ACTION", about->polkit);
	if (about->device) {
		add_number(&entry, "UBLK_DEVICE", about->device->id);
		add(&entry, "UBLK_NAME", about->device->name);
		add_number(&entry, "UBLK_OWNER", about->device->uid);
		if (about->device->server_pid)
			add_number(&entry, "UBLK_SERVER_PID", (guint)about->device->server_pid);
	}
	if (about->caller) {
		add_number(&entry, "UBLK_CALLER_UID", about->caller->uid);
		add_number(&entry, "UBLK_CALLER_PID", (guint)about->caller->pid);
		/* else journald would look at whoever has the number by now */
		if (caller_is_alive(about->caller))
			add_number(&entry, "OBJECT_PID", (guint)about->caller->pid);
	} else if (about->user) {
		add_number(&entry, "UBLK_CALLER_UID", about->user);
	}
	g_log_structured_array(events[event].level, entry.fields, entry.n);
}

char *journal_clean(const char *text, gssize len)
{
	g_autofree char *valid = g_utf8_make_valid(text, len);
	GString *clean = g_string_sized_new(strlen(valid));

	for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		/* of the invisible ones some change the direction of what follows */
		g_string_append_unichar(
			clean,
			g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT || c == 0xfffd
				? '?'
				: c);
	}
	return g_string_free(g_steal_pointer(&clean), FALSE);
}

static GLogWriterOutput write_clean(GLogLevelFlags level, const GLogField *fields, gsize n,
				    gpointer unused)
{
	g_autofree GLogField *copy = g_memdup2(fields, n * sizeof(*fields));
	g_autofree char *message = NULL;

	for (gsize i = 0; i < n && !message; i++) {
		if (!g_str_equal(fields[i].key, "MESSAGE"))
			continue;
		message = journal_clean(fields[i].value, fields[i].length);
		copy[i] = (GLogField){ "MESSAGE", message, -1 };
	}
	return g_log_writer_default(level, copy, n, NULL);
}

void journal_init(void)
{
	g_log_set_writer_func(write_clean, NULL, NULL);
}
