/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz-bus [--seed N] [--seconds N] [--count N]
 *
 * Calls every method of every object of org.ublk1, as introspection tells them, with arguments made
 * up from a seed: right signatures with wrong values, wrong signatures, options that exist with
 * values that may be right, descriptors of many kinds and indexes of none, names and paths that are
 * not there. Many calls are under way at once, some on connections that leave before the answer.
 * Every call must be answered: an error is an answer, but not one that says that the service has
 * gone, or none within two minutes.
 *
 * Prints the seed first (it makes the same choices again, as far as the same objects are there),
 * how often there was which answer at the end. Devices that were made are deleted. Exits with 0 if
 * all went well, 1 if a call was not answered, 2 if the bus did not do what this program needs.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#define SERVICE "org.ublk1"
#define ROOT    "/org/ublk1"

/* How many calls are under way at once; ublkd refuses more than 64 of one connection. */
#define WINDOW 24
/* Looked at anew after so many calls: devices come and go. */
#define INTROSPECT_EVERY 150
#define ANSWER_MS        120000
/* Containers in containers: the bus itself drops who sends more than 64, with the message's own. */
#define MAX_DEPTH 12

static _Noreturn void G_GNUC_PRINTF(2, 3) die(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("fuzz-bus: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(status);
}

static gint64 seed = -1;
static gint seconds = 20, count = G_MAXINT;

static const GOptionEntry entries[] = {
	{ "seed", 0, 0, G_OPTION_ARG_INT64, &seed, NULL, "N" },
	{ "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, NULL, "N" },
	{ "count", 0, 0, G_OPTION_ARG_INT, &count, NULL, "N" },
	{ NULL },
};

typedef struct {
	char *path, *interface, *method;
	char *signature; /* of the arguments, without parentheses */
} Target;

static GRand *dice;
static GDBusConnection *bus;
static GPtrArray *targets;  /* of Target */
static GPtrArray *words;    /* strings that mean something to somebody */
static GHashTable *answers; /* what was answered → how often */
static int descriptors[12];
static gint n_descriptors, under_way, unanswered;

static gint up_to(gint n)
{
	return g_rand_int_range(dice, 0, n);
}

static gboolean one_in(gint n)
{
	return up_to(n) == 0;
}

/* ---- what there is to call ---- */

static void target_free(gpointer data)
{
	Target *target = data;

	g_free(target->path);
	g_free(target->interface);
	g_free(target->method);
	g_free(target->signature);
	g_free(target);
}

static void add_word(const char *word)
{
	if (!g_ptr_array_find_with_equal_func(words, word, g_str_equal, NULL))
		g_ptr_array_add(words, g_strdup(word));
}

static void add_targets(const char *path, GDBusInterfaceInfo *interface)
{
	add_word(interface->name);
	for (GDBusPropertyInfo **p = interface->properties; p && *p; p++)
		add_word((*p)->name);
	for (GDBusMethodInfo **method = interface->methods; method && *method; method++) {
		GString *signature = g_string_new(NULL);
		Target *target = g_new(Target, 1);

		for (GDBusArgInfo **arg = (*method)->in_args; arg && *arg; arg++)
			g_string_append(signature, (*arg)->signature);
		target->path = g_strdup(path);
		target->interface = g_strdup(interface->name);
		target->method = g_strdup((*method)->name);
		target->signature = g_string_free(signature, FALSE);
		g_ptr_array_add(targets, target);
		add_word(target->method);
	}
}

static void introspect(const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusNodeInfo) node = NULL;
	const char *xml;
	g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
		bus, SERVICE, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL,
		G_VARIANT_TYPE("(s)"), G_DBUS_CALL_FLAGS_NONE, ANSWER_MS, NULL, &error);

	/* a device may have gone since its name was read */
	if (!reply)
		return;
	g_variant_get(reply, "(&s)", &xml);
	node = g_dbus_node_info_new_for_xml(xml, &error);
	if (!node)
		die(1, "what %s says of itself is no introspection: %s", path, error->message);
	add_word(path);
	for (GDBusInterfaceInfo **interface = node->interfaces; interface && *interface;
	     interface++)
		add_targets(path, *interface);
	for (GDBusNodeInfo **child = node->nodes; child && *child; child++) {
		g_autofree char *below = g_strdup_printf("%s/%s", path, (*child)->path);

		introspect(below);
	}
}

/* ---- what to call it with ---- */

static void make_descriptors(void)
{
	int pair[2], pipes[2], memory = memfd_create("fuzz-bus", MFD_ALLOW_SEALING);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || pipe(pipes) < 0 || memory < 0 ||
	    ftruncate(memory, 1 << 20) < 0 ||
	    fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		die(2, "cannot make descriptors");
	descriptors[n_descriptors++] = pair[0];
	descriptors[n_descriptors++] = pair[1];
	descriptors[n_descriptors++] = pipes[0];
	descriptors[n_descriptors++] = pipes[1];
	descriptors[n_descriptors++] = memory;
	descriptors[n_descriptors++] = eventfd(0, 0);
	descriptors[n_descriptors++] = open("/dev/null", O_RDWR);
	descriptors[n_descriptors++] = open("/", O_RDONLY | O_DIRECTORY);
	descriptors[n_descriptors++] = open("/etc/passwd", O_PATH);
	descriptors[n_descriptors++] = open("/etc/passwd", O_RDONLY);
	descriptors[n_descriptors++] = open("/proc/self/mem", O_RDWR);
	descriptors[n_descriptors++] = socket(AF_UNIX, SOCK_STREAM, 0);
	for (int i = 0; i < n_descriptors; i++)
		if (descriptors[i] < 0)
			die(2, "cannot make descriptor %d", i);
}

static char *make_string(void)
{
	static const char *const nasty[] = { "",
					     "/",
					     "..",
					     "%n%s%s",
					     "\n\033[2J",
					     "größe",
					     "\xf0\x9f\x92\xbe",
					     "/dev/ublkb0",
					     "/proc/self/fd/0",
					     "loop",
					     "null" };
	GString *text;

	if (!one_in(3))
		return g_strdup(one_in(2)
					? nasty[up_to(G_N_ELEMENTS(nasty))]
					: g_ptr_array_index(words, (guint)up_to((gint)words->len)));
	text = g_string_new(NULL);
	for (gint n = one_in(20) ? up_to(20000) : up_to(80); n > 0; n--)
		g_string_append_unichar(text,
					(gunichar)(one_in(4) ? 1 + up_to(0xd7ff) : 32 + up_to(95)));
	return g_string_free(text, FALSE);
}

static guint64 make_number(void)
{
	static const guint64 limits[] = { 0,          1,           2,
					  511,        512,         4096,
					  4097,       65536,       1 << 20,
					  G_MAXINT32, G_MAXUINT32, (guint64)G_MAXUINT32 + 1,
					  G_MAXINT64, G_MAXUINT64 };

	if (one_in(3))
		return ((guint64)g_rand_int(dice) << 32 | g_rand_int(dice)) >> up_to(64);
	return limits[up_to(G_N_ELEMENTS(limits))] - (guint64)(one_in(5) ? 1 : 0);
}

/* One complete type. */
static void append_type(GString *to, gint depth)
{
	static const char basic[] = "ybnqiuxtdsogh";

	switch (depth < MAX_DEPTH ? up_to(12) : 0) {
	case 9:
		g_string_append_c(to, 'a');
		append_type(to, depth + 1);
		break;
	case 10:
		g_string_append_c(to, '(');
		for (gint n = 1 + up_to(3); n > 0; n--)
			append_type(to, depth + 1);
		g_string_append_c(to, ')');
		break;
	case 11:
		g_string_append(to, "a{");
		g_string_append_c(to, basic[up_to((gint)strlen(basic))]);
		append_type(to, depth + 2);
		g_string_append_c(to, '}');
		break;
	case 8:
		g_string_append_c(to, 'v');
		break;
	default:
		g_string_append_c(to, basic[up_to((gint)strlen(basic))]);
	}
}

static GVariantType *make_type(gint depth)
{
	g_autoptr(GString) text = g_string_new(NULL);

	do {
		g_string_truncate(text, 0);
		append_type(text, depth);
		/* a signature has 255 bytes at most */
	} while (text->len > 60);
	return g_variant_type_new(text->str);
}

static GVariant *make_value(const GVariantType *type, gint depth);

static GVariant *make_container(const GVariantType *type, gint depth)
{
	GVariantBuilder builder;
	gint n;

	if (g_variant_type_is_array(type)) {
		const GVariantType *element = g_variant_type_element(type);

		n = one_in(50) ? up_to(2000) : up_to(5);
		g_variant_builder_init(&builder, type);
		for (; n > 0 && depth < MAX_DEPTH + 4; n--)
			g_variant_builder_add_value(&builder,
						    make_value(element, depth + (n > 100 ? 4 : 1)));
		return g_variant_builder_end(&builder);
	}
	g_variant_builder_init(&builder, type);
	for (const GVariantType *item = g_variant_type_first(type); item;
	     item = g_variant_type_next(item))
		g_variant_builder_add_value(&builder, make_value(item, depth + 1));
	return g_variant_builder_end(&builder);
}

static GVariant *make_text(char type)
{
	g_autofree char *text = make_string();

	if (type == 'o')
		return g_variant_new_object_path(g_variant_is_object_path(text) ? text : ROOT);
	if (type == 'g')
		return g_variant_new_signature(g_variant_is_signature(text) ? text : "a{sv}");
	return g_variant_new_string(text);
}

/* A floating reference. */
static GVariant *make_value(const GVariantType *type, gint depth)
{
	g_autoptr(GVariantType) inner = NULL;
	guint64 number = make_number();

	switch (g_variant_type_peek_string(type)[0]) {
	case 'y':
		return g_variant_new_byte((guchar)number);
	case 'b':
		return g_variant_new_boolean(one_in(2));
	case 'n':
		return g_variant_new_int16((gint16)number);
	case 'q':
		return g_variant_new_uint16((guint16)number);
	case 'i':
		return g_variant_new_int32((gint32)number);
	case 'u':
		return g_variant_new_uint32((guint32)number);
	case 'x':
		return g_variant_new_int64((gint64)number);
	case 't':
		return g_variant_new_uint64(number);
	case 'd':
		return g_variant_new_double((gdouble)number / 3 - 1);
	case 'h':
		return g_variant_new_handle(one_in(4) ? (gint32)number : up_to(8) - 2);
	case 's':
	case 'o':
	case 'g':
		return make_text(g_variant_type_peek_string(type)[0]);
	case 'v':
		inner = make_type(depth + 1);
		return g_variant_new_variant(make_value(inner, depth + 1));
	default:
		return make_container(type, depth);
	}
}

/* Options that a method may know, some with values that it may take: to get beyond the parsing. */
static GVariant *make_options(void)
{
	static const struct {
		const char *key, *type;
	} known[] = {
		{ "name", "s" },
		{ "id", "u" },
		{ "queues", "u" },
		{ "depth", "u" },
		{ "max-io-size", "u" },
		{ "need-get-data", "b" },
		{ "shared-memory", "b" },
		{ "file", "s" },
		{ "file", "h" },
		{ "direct", "b" },
		{ "size", "t" },
		{ "read-only", "b" },
		{ "logical-block-size", "u" },
		{ "physical-block-size", "u" },
		{ "io-min", "u" },
		{ "io-opt", "u" },
		{ "max-discard-size", "t" },
		{ "discard-granularity", "u" },
		{ "chunk-size", "u" },
		{ "max-segments", "u" },
		{ "fua", "b" },
		{ "volatile-cache", "b" },
		{ "report", "b" },
		{ "server", "h" },
		{ "owner", "u" },
		{ "backed", "b" },
		{ "keep", "b" },
	};
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
	if (one_in(2))
		g_variant_builder_add(&builder, "{sv}", "size",
				      g_variant_new_uint64((guint64)(1 + up_to(64)) << 12));
	for (gint n = one_in(2) ? 0 : up_to(4); n > 0; n--) {
		gint i = up_to(G_N_ELEMENTS(known));
		g_autoptr(GVariantType) type = one_in(6) ? make_type(0)
							 : g_variant_type_new(known[i].type);
		g_autofree char *other = one_in(15) ? make_string() : NULL;

		g_variant_builder_add(&builder, "{sv}", other ? other : known[i].key,
				      make_value(type, 1));
	}
	return g_variant_builder_end(&builder);
}

static GVariant *make_argument(const Target *target, const GVariantType *type)
{
	if (g_variant_type_equal(type, G_VARIANT_TYPE_VARDICT) && !one_in(8))
		return make_options();
	/* a target that exists, three times of four */
	if (g_str_equal(target->method, "AddDevice") &&
	    g_variant_type_equal(type, G_VARIANT_TYPE_STRING) && !one_in(4))
		return g_variant_new_string(one_in(2) ? "null" : "loop");
	return make_value(type, 0);
}

static GVariant *make_body(const Target *target)
{
	g_autofree char *tuple = g_strdup_printf("(%s)", target->signature);
	g_autoptr(GVariantType) type = NULL;
	GVariantBuilder builder;

	if (one_in(3)) {
		/* another signature: something more, something less, or nothing of it right */
		g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
		for (gint n = up_to(5); n > 0; n--) {
			g_autoptr(GVariantType) any = make_type(0);

			g_variant_builder_add_value(&builder, make_value(any, 0));
		}
		return g_variant_builder_end(&builder);
	}
	type = g_variant_type_new(tuple);
	g_variant_builder_init(&builder, type);
	for (const GVariantType *item = g_variant_type_first(type); item;
	     item = g_variant_type_next(item))
		g_variant_builder_add_value(&builder, make_argument(target, item));
	return g_variant_builder_end(&builder);
}

static GUnixFDList *make_descriptor_list(void)
{
	GUnixFDList *list;

	if (!one_in(3))
		return NULL;
	list = g_unix_fd_list_new();
	/* at most 16 are the bus's limit */
	for (gint n = up_to(one_in(10) ? 15 : 4); n > 0; n--)
		g_unix_fd_list_append(list, descriptors[up_to(n_descriptors)], NULL);
	return list;
}

static GDBusMessage *make_message(const Target *target)
{
	static const char *const paths[] = { "/", "/org/ublk1/devices/4294967295",
					     "/org/ublk1/devices", "/org/ublk1/devices/0",
					     "/org/freedesktop/DBus" };
	g_autoptr(GUnixFDList) list = make_descriptor_list();
	g_autoptr(GVariant) body = g_variant_ref_sink(make_body(target));
	GDBusMessage *message = g_dbus_message_new_method_call(
		SERVICE, one_in(20) ? paths[up_to(G_N_ELEMENTS(paths))] : target->path,
		one_in(40) ? NULL : target->interface,
		one_in(40) ? "NoSuchMethod" : target->method);
	GDBusMessageFlags flags = G_DBUS_MESSAGE_FLAGS_NONE;

	if (g_variant_n_children(body) > 0)
		g_dbus_message_set_body(message, body);
	if (list && g_unix_fd_list_get_length(list) > 0)
		g_dbus_message_set_unix_fd_list(message, list);
	if (one_in(4))
		flags |= G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION;
	if (one_in(10))
		flags |= G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED;
	g_dbus_message_set_flags(message, flags);
	return message;
}

/* ---- calling ---- */

static void note(const char *answer)
{
	gint *times = g_hash_table_lookup(answers, answer);

	if (!times) {
		times = g_new0(gint, 1);
		g_hash_table_insert(answers, g_strdup(answer), times);
	}
	++*times;
}

static void on_answer(GObject *source, GAsyncResult *result, gpointer user_data)
{
	g_autofree char *what = user_data;
	g_autofree char *name = NULL;
	g_autoptr(GError) error = NULL;
	g_autoptr(GDBusMessage) reply = g_dbus_connection_send_message_with_reply_finish(
		G_DBUS_CONNECTION(source), result, &error);

	under_way--;
	if (reply && !g_dbus_message_to_gerror(reply, &error)) {
		note("ok");
		return;
	}
	name = g_dbus_error_get_remote_error(error);
	/* the bus judges messages too, and closes the connection of who sends a wrong one */
	if (!name && g_dbus_connection_is_closed(G_DBUS_CONNECTION(source))) {
		note("(dropped by the bus)");
		return;
	}
	note(name ? name : error->message);
	if (!name || g_str_has_suffix(name, ".NoReply") ||
	    g_str_has_suffix(name, ".Disconnected") || g_str_has_suffix(name, ".ServiceUnknown")) {
		fprintf(stderr, "fuzz-bus: %s: %s\n", what, error->message);
		unanswered++;
	}
}

static GDBusConnection *connect_anew(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);
	GDBusConnection *connection = g_dbus_connection_new_for_address_sync(
		address,
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, &error);

	if (!connection)
		die(2, "%s", error->message);
	return connection;
}

static void keep_connected(void)
{
	if (!g_dbus_connection_is_closed(bus))
		return;
	g_object_unref(bus);
	bus = connect_anew();
}

static void send_one(void)
{
	Target *target = g_ptr_array_index(targets, (guint)up_to((gint)targets->len));
	g_autoptr(GDBusMessage) message = make_message(target);

	keep_connected();
	if (one_in(25)) {
		/* its caller has left before the answer */
		g_autoptr(GDBusConnection) other = connect_anew();

		g_dbus_connection_send_message(other, message, 0, NULL, NULL);
		g_dbus_connection_flush_sync(other, NULL, NULL);
		g_dbus_connection_close_sync(other, NULL, NULL);
		note("(left)");
		return;
	}
	if (g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) {
		g_dbus_connection_send_message(bus, message, 0, NULL, NULL);
		note("(none wanted)");
		return;
	}
	under_way++;
	g_dbus_connection_send_message_with_reply(
		bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, ANSWER_MS, NULL, NULL, on_answer,
		g_strdup_printf("%s %s.%s", target->path, target->interface, target->method));
}

static void look_again(void)
{
	gint patience = 100;

	keep_connected();
	g_ptr_array_set_size(targets, 0);
	for (introspect(ROOT); targets->len == 0; introspect(ROOT)) {
		/* refused: too many calls are waiting, of this very program */
		if (--patience == 0)
			die(1, "there is nothing to call");
		g_usleep(G_USEC_PER_SEC / 10);
	}
}

/* What is left of it: devices whose answer nobody waited for are found as well. */
static void delete_devices(void)
{
	look_again();
	for (guint i = 0; i < targets->len; i++) {
		const Target *target = g_ptr_array_index(targets, i);
		g_autoptr(GVariant) reply = NULL;
		g_autoptr(GError) error = NULL;

		if (!g_str_equal(target->method, "Delete"))
			continue;
		reply = g_dbus_connection_call_sync(bus, SERVICE, target->path, target->interface,
						    "Delete", g_variant_new("(a{sv})", NULL), NULL,
						    G_DBUS_CALL_FLAGS_NONE, ANSWER_MS, NULL,
						    &error);
		if (!reply)
			printf("deleting %s: %s\n", target->path, error->message);
	}
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	GHashTableIter iter;
	gpointer key, value;
	gint64 end;
	gint sent = 0;

	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &error))
		die(2, "%s", error->message);
	if (seed < 0)
		seed = g_random_int();
	printf("seed %" G_GINT64_FORMAT "\n", seed);
	fflush(stdout);
	dice = g_rand_new_with_seed((guint32)seed);
	targets = g_ptr_array_new_with_free_func(target_free);
	words = g_ptr_array_new_with_free_func(g_free);
	answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	make_descriptors();
	bus = connect_anew();

	end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
	for (; sent < count && g_get_monotonic_time() < end; sent++) {
		if (sent % INTROSPECT_EVERY == 0)
			look_again();
		send_one();
		while (under_way >= WINDOW || g_main_context_pending(NULL))
			g_main_context_iteration(NULL, TRUE);
	}
	while (under_way > 0)
		g_main_context_iteration(NULL, TRUE);
	delete_devices();

	printf("%d calls\n", sent);
	g_hash_table_iter_init(&iter, answers);
	while (g_hash_table_iter_next(&iter, &key, &value))
		printf("%6d %s\n", *(gint *)value, (const char *)key);
	return unanswered ? 1 : 0;
}
