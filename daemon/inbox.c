/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GDBus reads what comes in a thread of its own, takes it apart whatever its size, and keeps it,
 * without a limit, until the main loop has time. A message may have 32 MiB: of small values that
 * is 16 seconds of that thread, which everybody's messages pass, and 2 GB of memory; and who sends
 * faster than the main loop works has all the memory, and everybody else at the end of its queue.
 *
 * So GDBus is connected to this file, and this file to the bus. It copies what ublkd says, and of
 * what is said to ublkd, by the header of each message alone:
 *
 * - A call of more than MAX_CALL bytes is refused, unread; the longest honest one has a path.
 * - GDBus and the main loop get a few calls at once, so answers that ublkd waits for itself are
 *   behind no more than those. The others wait until it is their turn (turns.h). Calls that want no
 *   answer wait like others, and so does reading properties.
 * - A connection with too many calls that wait is refused the next. The bus allows a user 256
 *   connections, so that is what bounds the memory.
 * - Signals that are sent to ublkd alone are dropped, but for the bus's own: nobody else has
 *   something to signal to it.
 *
 * Answers to ublkd's own calls come only from those whom it asks; the bus sees to that. Who has
 * called ublkd is only asked whether it reads (unread.h), so its answers are as good as empty.
 *
 * GLib finds the bus by an address in the environment, which is this file's: whatever in this
 * process asks GLib for the bus is behind it.
 *
 * Descriptors of calls do not go through GDBus: this file would have to close its copies, and to
 * close somebody's descriptor may take as long as its owner likes. They join the message again when
 * GDBus has read it.
 */
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "descriptor.h"
#include "turns.h"
#include "ublk-dbus.h"

/* Bytes of a call, and of the header fields of any message. */
#define MAX_CALL   16384
#define MAX_FIELDS 16384
/* Of a message that is no call. The credentials of a user in 65536 groups have 256 KiB. */
#define MAX_OTHER (4 << 20)
/* Of an answer of somebody who has called ublkd, with an error's text. */
#define MAX_PONG 1024

/*
 * What a call that waits counts, besides one: so many bytes as one, a descriptor as so many. One
 * user's 256 connections then hold 2048 descriptors, or one call's each.
 */
#define SIZE_OF_ONE       1024
#define DESCRIPTOR_WEIGHT 16

/* Bytes that are copied at once. */
#define CHUNK 65536

/* The fixed part of a message; then the array of header fields, to a multiple of 8; then the body.
 */
#define FIXED 16

/* What the header says; strings point into it. */
typedef struct {
	guint8 type, flags;
	guint32 serial;
	gsize fields, body; /* bytes, with the padding */
	const char *sender, *destination;
	guint32 descriptors;
} Header;

/* Of writing to gdbus_socket. GDBus's thread never takes it: it has to read what is written. */
static GMutex writing;
static GMutex lock;                 /* of the connection */
static GDBusConnection *connection; /* to refuse by; NULL until there is one */

static InboxMeet meet;

static int bus_socket = -1, gdbus_socket = -1;
static GThread *to_bus;

/* ---- headers ---- */

static guint32 read_number(const guint8 *at, gboolean big)
{
	guint32 number;

	memcpy(&number, at, sizeof(number));
	return big ? GUINT32_FROM_BE(number) : GUINT32_FROM_LE(number);
}

/* FALSE: nothing that a bus would send. */
static gboolean parse_fixed(const guint8 *at, Header *header)
{
	gboolean big = at[0] == 'B';
	guint32 fields = read_number(at + 12, big), body = read_number(at + 4, big);

	*header = (Header){
		.type = at[1],
		.flags = at[2],
		.serial = read_number(at + 8, big),
		.fields = ((gsize)fields + 7) & ~(gsize)7,
		.body = body,
	};
	return (big || at[0] == 'l') && fields <= G_MAXINT32 && body <= G_MAXINT32;
}

/* A field's string; NULL if it is not whole. */
static const char *read_string(const guint8 *fields, gsize len, gsize *at, gboolean big,
			       gboolean is_short)
{
	gsize size = is_short ? 1 : 4, n;
	const char *text;

	if (*at + size > len)
		return NULL;
	n = is_short ? fields[*at] : read_number(fields + *at, big);
	*at += size;
	if (n >= len - *at || fields[*at + n] != '\0')
		return NULL;
	text = (const char *)fields + *at;
	*at += n + 1;
	return text;
}

/*
 * `fields` is what follows the fixed part, with the padding. A field is its code, its type as a
 * signature, which is one letter for all that there are, and the value. FALSE: it is not well
 * formed.
 */
static gboolean parse_fields(const guint8 *fields, gsize len, gboolean big, Header *header)
{
	enum { DESTINATION = 6, SENDER = 7, DESCRIPTORS = 9 };
	gsize at = 0;

	/* the padding at the end is not yet a field */
	while (at + 8 <= len) {
		guint8 code = fields[at];
		char type = (char)fields[at + 2];
		const char *text = NULL;

		if (fields[at + 1] != 1 || fields[at + 3] != '\0')
			return FALSE;
		at += 4;
		if (type == 'u') {
			if (code == DESCRIPTORS)
				header->descriptors = read_number(fields + at, big);
			at += 4;
		} else if (type == 's' || type == 'o' || type == 'g') {
			text = read_string(fields, len, &at, big, type == 'g');
			if (!text)
				return FALSE;
		} else {
			return FALSE;
		}
		if (code == DESTINATION)
			header->destination = text;
		else if (code == SENDER)
			header->sender = text;
		at = (at + 7) & ~(gsize)7;
	}
	return TRUE;
}

/* ---- the two sockets ---- */

/*
 * What there is, at most `len` bytes; descriptors that come along are added to `fds`, or lost when
 * there is none left for them. The kernel returns no byte of what was sent after those that they
 * were sent with. 0 or less: the other end is gone.
 */
static ssize_t receive(int from, guint8 *to, gsize len, GArray *fds)
{
	union {
		struct cmsghdr align;
		/* as many as the kernel passes at once */
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control;
	struct iovec iov = { to, len };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	do
		n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; c;
	     c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			g_array_append_vals(fds, CMSG_DATA(c),
					    (guint)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)));
	return n;
}

/* All of it; `fds` go with the first byte, and stay open here. FALSE: the other end is gone. */
static gboolean send_all(int to, const guint8 *from, gsize len, const GArray *fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control = { 0 };
	gsize size = fds ? fds->len * sizeof(int) : 0;

	while (len) {
		struct iovec iov = { (void *)from, len };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (size) {
			message.msg_control = control.bytes;
			message.msg_controllen = CMSG_SPACE(size);
			control.align.cmsg_level = SOL_SOCKET;
			control.align.cmsg_type = SCM_RIGHTS;
			control.align.cmsg_len = CMSG_LEN(size);
			memcpy(CMSG_DATA(&control.align), fds->data, size);
		}
		n = sendmsg(to, &message, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		size = 0;
		from += n;
		len -= (gsize)n;
	}
	return TRUE;
}

/* ---- calls, when it is their turn ---- */

static GSource *due_source; /* ready when those who have had their turns have the next one */

/* To GDBus goes what there is to be taken. on_message() finds them in this order. */
void inbox_give(void)
{
	gint64 due;
	Call *call;

	g_mutex_lock(&writing);
	while ((call = turns_take(&due))) {
		g_autofree guint8 *message = g_steal_pointer(&call->message);

		/* if the other end has gone, so has everything */
		send_all(gdbus_socket, message, call->len, NULL);
	}
	g_source_set_ready_time(due_source, due ? due : -1);
	g_mutex_unlock(&writing);
}

static gboolean on_due(gpointer unused)
{
	inbox_give();
	return G_SOURCE_CONTINUE;
}

static gboolean dispatch_due(GSource *source, GSourceFunc callback, gpointer user_data)
{
	return callback(user_data);
}

/* The main loop is done with it, and with all before it. */
static gboolean on_done(gpointer user_data)
{
	turns_done(user_data);
	inbox_give();
	return G_SOURCE_REMOVE;
}

static gboolean on_stranger(gpointer name)
{
	meet(name);
	return G_SOURCE_REMOVE;
}

/* In the main loop. */
static void ask_who_it_is(const char *name)
{
	g_autoptr(GSource) source = g_idle_source_new();

	g_source_set_priority(source, G_PRIORITY_DEFAULT);
	g_source_set_callback(source, on_stranger, g_strdup(name), g_free);
	g_source_attach(source, NULL);
}

/* Of a message that nobody gets: somebody's, and it may take its time. */
static void close_later(GArray *fds)
{
	for (guint i = 0; i < fds->len; i++)
		descriptor_close_later(g_array_index(fds, int, i), DESCRIPTOR_OF_NOBODY);
	g_array_set_size(fds, 0);
}

static void close_now(GArray *fds)
{
	for (guint i = 0; i < fds->len; i++)
		close(g_array_index(fds, int, i));
	g_array_set_size(fds, 0);
}

/* ---- from ublkd to the bus ---- */

/*
 * The copies of what ublkd sends. That of a block device may be the last one, if who wanted it has
 * left: then close() writes back, and waits for its owner's server.
 */
static void close_sent(GArray *fds)
{
	for (guint i = 0; i < fds->len; i++) {
		int fd = g_array_index(fds, int, i);
		struct stat status;

		if (fstat(fd, &status) == 0 && S_ISBLK(status.st_mode))
			descriptor_close_later(fd, status.st_uid);
		else
			close(fd);
	}
	g_array_set_size(fds, 0);
}

static gpointer run_to_bus(gpointer unused)
{
	g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
	g_autofree guint8 *chunk = g_malloc(CHUNK);
	ssize_t n;

	while ((n = receive(gdbus_socket, chunk, CHUNK, fds)) > 0 &&
	       send_all(bus_socket, chunk, (gsize)n, fds))
		/* ublkd's own: nodes without a right to anything, ends of its sockets */
		close_sent(fds);
	shutdown(bus_socket, SHUT_RDWR);
	return NULL;
}

/* ---- from the bus to ublkd ---- */

/* What was received and not looked at yet. */
static struct {
	guint8 *data;
	gsize size, start, end;
	GArray *fds;
	GArray *places; /* guint64 of each: the last byte that came with it, which is its message's
			 */
	guint64 taken;  /* bytes before in.start */
} in;

/* Have that many bytes at in.start. FALSE: the bus is gone. */
static gboolean need(gsize len)
{
	if (in.end - in.start < len) {
		memmove(in.data, in.data + in.start, in.end - in.start);
		in.end -= in.start;
		in.start = 0;
	}
	if (in.size < len) {
		in.size = len;
		in.data = g_realloc(in.data, in.size);
	}
	while (in.end - in.start < len) {
		ssize_t n = receive(bus_socket, in.data + in.end, in.size - in.end, in.fds);

		if (n <= 0)
			return FALSE;
		in.end += (gsize)n;
		while (in.places->len < in.fds->len) {
			guint64 place = in.taken + (in.end - in.start) - 1;

			g_array_append_val(in.places, place);
		}
	}
	return TRUE;
}

static void advance(gsize len)
{
	in.start += len;
	in.taken += len;
}

static gboolean skip(gsize len)
{
	while (len) {
		gsize here;

		if (!need(1))
			return FALSE;
		here = MIN(len, in.end - in.start);
		advance(here);
		len -= here;
	}
	return TRUE;
}

/* Those that came with the next `len` bytes or before, and with nothing later. */
static GArray *take_descriptors(gsize len)
{
	GArray *taken = g_array_new(FALSE, FALSE, sizeof(int));
	guint n = 0;

	while (n < in.fds->len && g_array_index(in.places, guint64, n) < in.taken + len)
		n++;
	if (n) {
		g_array_append_vals(taken, in.fds->data, n);
		g_array_remove_range(in.fds, 0, n);
		g_array_remove_range(in.places, 0, n);
	}
	return taken;
}

/* Of a message that was passed over. */
static void drop_descriptors(void)
{
	g_autoptr(GArray) left = take_descriptors(0);

	close_later(left);
}

static void refuse(const Header *header, const char *name, const char *why)
{
	g_autoptr(GDBusMessage) reply = NULL;
	g_autoptr(GDBusConnection) through = NULL;

	g_mutex_lock(&lock);
	if (connection)
		through = g_object_ref(connection);
	g_mutex_unlock(&lock);
	if (!through || header->flags & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED)
		return;
	reply = g_dbus_message_new();
	g_dbus_message_set_message_type(reply, G_DBUS_MESSAGE_TYPE_ERROR);
	g_dbus_message_set_flags(reply, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
	g_dbus_message_set_destination(reply, header->sender);
	g_dbus_message_set_reply_serial(reply, header->serial);
	g_dbus_message_set_error_name(reply, name);
	g_dbus_message_set_body(reply, g_variant_new("(s)", why));
	g_dbus_connection_send_message(through, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
}

/* Whether it may pass; `call` is made of one. */
static gboolean judge(const Header *header, gboolean lost, Call **call)
{
	gsize size = FIXED + header->fields + header->body;
	guint weight = 1 + (guint)(size / SIZE_OF_ONE) + header->descriptors * DESCRIPTOR_WEIGHT;
	gboolean is_open, is_new = FALSE;

	if (header->type < G_DBUS_MESSAGE_TYPE_METHOD_CALL ||
	    header->type > G_DBUS_MESSAGE_TYPE_SIGNAL)
		return FALSE;
	if (header->type == G_DBUS_MESSAGE_TYPE_SIGNAL && header->destination &&
	    g_strcmp0(header->sender, "org.freedesktop.DBus") != 0)
		return FALSE;
	if (header->type != G_DBUS_MESSAGE_TYPE_METHOD_CALL &&
	    header->type != G_DBUS_MESSAGE_TYPE_SIGNAL && header->sender &&
	    turns_know(header->sender))
		return size <= MAX_PONG && !header->descriptors && !lost;
	if (header->type != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
		return size <= MAX_OTHER;
	/* and nobody calls before GDBus is asked to say what it reads */
	g_mutex_lock(&lock);
	is_open = connection != NULL;
	g_mutex_unlock(&lock);
	if (!header->sender || !is_open)
		return FALSE;
	if (size > MAX_CALL)
		refuse(header, UBLK_BUS_ERROR_INVALID_ARGUMENT,
		       "the call is too large: ublkd takes none of more than " G_STRINGIFY(
			       MAX_CALL) " bytes");
	else if (lost)
		refuse(header, UBLK_BUS_ERROR_LIMIT_EXCEEDED,
		       "ublkd has no descriptor left for those of the call");
	else if (!(*call = turns_enter(header->sender, weight, &is_new)))
		refuse(header, UBLK_BUS_ERROR_LIMIT_EXCEEDED,
		       "too many calls wait for ublkd; wait for answers before you make more");
	if (is_new)
		ask_who_it_is(header->sender);
	return *call != NULL;
}

static gboolean pass_message(void)
{
	g_autoptr(GArray) fds = NULL;
	const guint8 *fixed;
	Call *call = NULL;
	Header header;
	gboolean good;
	gsize len;

	if (!need(FIXED) || !parse_fixed(in.data + in.start, &header))
		return FALSE;
	len = FIXED + header.fields + header.body;
	/* what came with a message that is passed over run_from_bus() drops */
	if (header.fields > MAX_FIELDS)
		return skip(len);
	if (!need(FIXED + header.fields))
		return FALSE;
	fixed = in.data + in.start;
	if (!parse_fields(fixed + FIXED, header.fields, fixed[0] == 'B', &header))
		return skip(len);
	fds = take_descriptors(len);
	if (!judge(&header, fds->len != header.descriptors, &call)) {
		close_later(fds);
		return skip(len);
	}
	/* which may move the header: its strings are not to be looked at any more */
	if (!need(len))
		return FALSE;
	if (call) {
		call->message = g_memdup2(in.data + in.start, len);
		call->len = len;
		if (fds->len)
			call->fds = g_unix_fd_list_new_from_array((const int *)fds->data,
								  (int)fds->len);
		turns_wait(call);
		inbox_give();
		advance(len);
		return TRUE;
	}
	g_mutex_lock(&writing);
	good = send_all(gdbus_socket, in.data + in.start, len, fds);
	g_mutex_unlock(&writing);
	/* of an answer, from one whom ublkd has asked */
	close_now(fds);
	advance(len);
	return good;
}

/* Before the first message the bus and GDBus agree on who is who, in lines. */
static gboolean pass_line(void)
{
	guint8 byte;

	do {
		if (!need(1))
			return FALSE;
		byte = in.data[in.start];
		advance(1);
		if (!send_all(gdbus_socket, &byte, 1, NULL))
			return FALSE;
	} while (byte != '\n');
	return TRUE;
}

static void run_from_bus(void)
{
	in.fds = g_array_new(FALSE, FALSE, sizeof(int));
	in.places = g_array_new(FALSE, FALSE, sizeof(guint64));
	in.size = CHUNK;
	in.data = g_malloc(in.size);
	while (need(1)) {
		guint8 first = in.data[in.start];

		/* no line begins like this, and every message does */
		if (!(first == 'l' || first == 'B' ? pass_message() : pass_line()))
			break;
		/* no message gets what is left of another one */
		drop_descriptors();
	}
	/* for GDBus that is the bus's end */
	shutdown(gdbus_socket, SHUT_RDWR);
}

/* ---- what GDBus has read ---- */

/*
 * GDBus has thrown the message away (no such object or method, wrong arguments), in its thread,
 * which must not be the one to close what is left in it.
 */
static void on_last_ref(gpointer unused, GObject *fds, gboolean is_last)
{
	if (!is_last)
		return;
	descriptor_close_list_later(G_UNIX_FD_LIST(fds), DESCRIPTOR_OF_NOBODY);
	g_object_remove_toggle_ref(fds, on_last_ref, NULL);
}

static GDBusMessage *on_message(GDBusConnection *unused, GDBusMessage *message, gboolean incoming,
				gpointer user_data)
{
	g_autoptr(GSource) done = NULL;
	GDBusMessage *whole = message;
	Call *call;

	if (!incoming ||
	    g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
		return message;
	call = turns_next();
	/* one that has not come this way would have no turn */
	if (!call) {
		g_object_unref(message);
		return NULL;
	}
	if (call->fds) {
		/* a message that was received cannot be changed */
		whole = g_dbus_message_copy(message, NULL);
		g_dbus_message_set_unix_fd_list(whole, call->fds);
		g_object_add_toggle_ref(G_OBJECT(call->fds), on_last_ref, NULL);
		g_clear_object(&call->fds);
		g_object_unref(message);
	}
	/*
	 * GDBus hands the message to the main loop in the same way next, with the same priority, so
	 * this is called just before the call is: as good as done.
	 */
	done = g_idle_source_new();
	g_source_set_priority(done, G_PRIORITY_DEFAULT);
	g_source_set_callback(done, on_done, call, NULL);
	g_source_attach(done, NULL);
	return whole;
}

/* ---- beginning and end ---- */

/* Nobody but this process itself may be at the other end. */
static gboolean is_self(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

static gpointer run(gpointer data)
{
	int listener = GPOINTER_TO_INT(data);

	while (gdbus_socket < 0) {
		gdbus_socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (gdbus_socket >= 0 && !is_self(gdbus_socket)) {
			close(gdbus_socket);
			gdbus_socket = -1;
		}
	}
	close(listener);
	to_bus = g_thread_new("to the bus", run_to_bus, NULL);
	run_from_bus();
	return NULL;
}

/* A socket to listen on, of a name that nobody can know before; its address for GLib, or NULL. */
static char *listen_for_gdbus(int *listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	g_autofree char *name = NULL;
	guint64 random[2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return NULL;
	name = g_strdup_printf("ublkd-%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
			       random[0], random[1]);
	/* abstract: it starts with a NUL */
	memcpy(address.sun_path + 1, name, strlen(name));
	*listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*listener < 0 ||
	    bind(*listener, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0 ||
	    listen(*listener, 8) < 0)
		return NULL;
	return g_strdup_printf("unix:abstract=%s", name);
}

/* The real bus, as a descriptor that waits. */
static int connect_to_bus(GError **error)
{
	g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, error);
	g_autoptr(GIOStream) stream =
		address ? g_dbus_address_get_stream_sync(address, NULL, NULL, error) : NULL;
	int fd;

	if (!stream)
		return -1;
	fd = fcntl(g_socket_get_fd(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream))),
		   F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
			    "cannot keep the bus's socket: %s", g_strerror(errno));
	if (fd < 0 || !g_unix_set_fd_nonblocking(fd, FALSE, error))
		return -1;
	return fd;
}

GDBusConnection *inbox_open(InboxMeet on_new, GError **error)
{
	g_autofree char *address = NULL;
	static GSourceFuncs functions = { .dispatch = dispatch_due };
	GDBusConnection *bus;
	int listener = -1;

	meet = on_new;
	due_source = g_source_new(&functions, sizeof(GSource));
	g_source_set_callback(due_source, on_due, NULL, NULL);
	g_source_attach(due_source, NULL);
	bus_socket = connect_to_bus(error);
	if (bus_socket < 0)
		return NULL;
	address = listen_for_gdbus(&listener);
	if (!address) {
		g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
			    "cannot listen for ublkd itself: %s", g_strerror(errno));
		return NULL;
	}
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", address, TRUE);
	g_thread_unref(g_thread_new("from the bus", run, GINT_TO_POINTER(listener)));
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, error);
	if (!bus)
		return NULL;
	g_dbus_connection_add_filter(bus, on_message, NULL, NULL);
	g_mutex_lock(&lock);
	connection = bus;
	g_mutex_unlock(&lock);
	return bus;
}

void inbox_close(GDBusConnection *bus)
{
	/* flushed: it is in our own socket; closed, and that thread at its end: it is on the bus */
	g_dbus_connection_flush_sync(bus, NULL, NULL);
	g_dbus_connection_close_sync(bus, NULL, NULL);
	g_thread_join(to_bus);
}
