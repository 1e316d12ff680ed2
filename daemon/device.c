/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buffers.h"
#include "caller.h"
#include "daemon.h"
#include "descriptor.h"
#include "error.h"
#include "journal.h"
#include "kernel.h"
#include "kernel/ublk-features.h"
#include "kernel/ublk-node.h"
#include "state.h"
#include "teardown.h"
#include "udev.h"
#include "units.h"

/* As many as the driver numbers. */
#define MAX_ID (1U << 20)

static GDBusObjectManagerServer *manager;
static void (*connect_methods)(Device *device);
static GHashTable *table; /* number → Device, holds a reference */

void device_init(GDBusObjectManagerServer *objects, void (*connect)(Device *device))
{
	manager = objects;
	connect_methods = connect;
	table = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)device_unref);
}

Device *device_lookup(guint32 id)
{
	return g_hash_table_lookup(table, GUINT_TO_POINTER(id));
}

Device *device_find(uid_t uid, const char *name)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, table);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		Device *device = value;

		if (device->uid == uid && g_str_equal(device->name, name))
			return device;
	}
	return NULL;
}

GList *device_list(void)
{
	return g_hash_table_get_values(table);
}

static guint32 next_free(guint32 from)
{
	while (from < MAX_ID && device_lookup(from))
		from++;
	return from;
}

static char *default_name(uid_t uid, guint32 id)
{
	char *name = g_strdup_printf("ublk%u", id);

	/* its owner may have given just that name to another one */
	for (guint n = 2; device_find(uid, name); n++) {
		g_free(name);
		name = g_strdup_printf("ublk%u-%u", id, n);
	}
	return name;
}

Device *device_new(guint32 wish, uid_t uid, gid_t gid, const char *name, GError **error)
{
	guint32 id = wish == UBLK_DEV_ID_ANY ? next_free(0) : wish;
	Device *device;

	if (id >= MAX_ID || device_lookup(id)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_EXISTS, "device number %u is taken", id);
		return NULL;
	}
	if (name && device_find(uid, name)) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_EXISTS,
			    "there is a device named \"%s\" already", name);
		return NULL;
	}
	device = g_new0(Device, 1);
	device->refs = 1;
	device->id = id;
	device->uid = uid;
	device->gid = gid;
	device->name = name ? g_strdup(name) : default_name(uid, id);
	device->named_by_number = !name;
	device->state = UBLK_STATE_CREATED;
	device->server_pidfd = device->report_fd = -1;
	device->created_at = g_get_real_time();
	while (device->cookie == 0)
		if (getrandom(&device->cookie, sizeof(device->cookie), 0) != sizeof(device->cookie))
			device->cookie = 0;
	g_hash_table_insert(table, GUINT_TO_POINTER(id), device_ref(device));
	return device;
}

Device *device_ref(Device *device)
{
	device->refs++;
	return device;
}

void device_unref(Device *device)
{
	if (--device->refs)
		return;
	g_clear_object(&device->bus);
	g_clear_object(&device->object);
	g_clear_pointer(&device->creds, creds_unref);
	buffers_free(device->buffers);
	descriptor_close_later(device->report_fd, device->uid);
	g_free(device->name);
	g_free(device->target);
	g_free(device->backing);
	g_free(device->unit);
	g_free(device->sender);
	g_free(device);
}

gboolean device_renumber(Device *device)
{
	guint32 id = next_free(device->id + 1);

	if (id >= MAX_ID)
		return FALSE;
	state_remove(device->id);
	device_ref(device);
	g_hash_table_remove(table, GUINT_TO_POINTER(device->id));
	device->id = id;
	if (device->named_by_number) {
		g_free(device->name);
		device->name = default_name(device->uid, id);
	}
	g_hash_table_insert(table, GUINT_TO_POINTER(id), device);
	return TRUE;
}

gboolean device_save(Device *device, GError **error)
{
	g_autofree char *buffers = buffers_describe(device);
	State state = {
		.id = device->id,
		.cookie = device->cookie,
		.uid = device->uid,
		.gid = device->gid,
		.name = device->name,
		.target = device->target,
		.backing = device->backing,
		.unit = device->unit,
		.sender = device->sender,
		.buffers = buffers,
		.live = g_str_equal(device->state, UBLK_STATE_LIVE),
		.beyond = device->beyond,
		.prompted = device->prompted,
		.created_at = device->created_at,
	};

	return state_write(&state, error);
}

static void set_flag_names(Device *device)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	const struct ublk_feature *features;
	size_t n;

	features = ublk_features(&n);
	for (size_t i = 0; i < n; i++)
		if (device->flags & features[i].flag)
			g_ptr_array_add(names, (gpointer)features[i].name);
	g_ptr_array_add(names, NULL);
	ublk_bus_device_set_flag_names(device->bus, (const char *const *)names->pdata);
}

void device_publish(Device *device, const struct ublksrv_ctrl_dev_info *info)
{
	g_autofree char *path = g_strdup_printf(UBLK_BUS_DEVICES "/%u", device->id);
	static const char *const none[] = { NULL };
	char node[UBLK_NODE_PATH_MAX];

	device->added = TRUE;
	device->queues = info->nr_hw_queues;
	device->depth = info->queue_depth;
	device->max_io_size = info->max_io_buf_bytes;
	device->flags = info->flags;

	device->bus = ublk_bus_device_skeleton_new();
	ublk_bus_device_set_id(device->bus, device->id);
	ublk_bus_device_set_name(device->bus, device->name);
	ublk_bus_device_set_owner_uid(device->bus, device->uid);
	ublk_bus_device_set_owner_gid(device->bus, device->gid);
	ublk_bus_device_set_state(device->bus, device->state);
	ublk_bus_device_set_ending(device->bus, "");
	ublk_bus_device_set_server_error(device->bus, "");
	ublk_bus_device_set_target(device->bus, device->target ? device->target : "");
	ublk_bus_device_set_queues(device->bus, device->queues);
	ublk_bus_device_set_queue_depth(device->bus, device->depth);
	ublk_bus_device_set_max_io_size(device->bus, device->max_io_size);
	ublk_bus_device_set_queue_cpus(device->bus, none);
	ublk_bus_device_set_flags(device->bus, device->flags);
	set_flag_names(device);
	ublk_bus_device_set_trusted(device->bus, !(device->flags & UBLK_F_UNPRIVILEGED_DEV));
	ublk_bus_device_set_char_device(device->bus,
					ublk_node_path(UBLK_NODE_CHAR, device->id, node));
	ublk_bus_device_set_block_device(device->bus,
					 ublk_node_path(UBLK_NODE_BLOCK, device->id, node));
	ublk_bus_device_set_created_at(device->bus, (guint64)device->created_at);
	connect_methods(device);

	device->object = ublk_bus_object_skeleton_new(path);
	ublk_bus_object_skeleton_set_device(device->object, device->bus);
	g_dbus_object_manager_server_export(manager, G_DBUS_OBJECT_SKELETON(device->object));
}

void device_set_state(Device *device, const char *state)
{
	device->state = state;
	if (g_str_equal(state, UBLK_STATE_LIVE))
		device->was_live = TRUE;
	if (device->bus)
		ublk_bus_device_set_state(device->bus, state);
}

void device_set_ending(Device *device, const char *why)
{
	if (!device->bus)
		return;
	ublk_bus_device_set_ending(device->bus, why);
	/* or it would be told after the object has gone, which is to say never */
	g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(device->bus));
}

void device_set_params(Device *device, const struct ublk_params *params)
{
	struct ublk_limits limits;

	ublk_params_describe(params, &limits);
	ublk_bus_device_set_size(device->bus, limits.size);
	ublk_bus_device_set_logical_block_size(device->bus, limits.logical_block_size);
	ublk_bus_device_set_physical_block_size(device->bus, limits.physical_block_size);
	ublk_bus_device_set_read_only(device->bus, limits.read_only);
}

void device_set_size(Device *device, guint64 size)
{
	ublk_bus_device_set_size(device->bus, size);
}

void device_set_queue_cpus(Device *device, const char *const *cpus)
{
	ublk_bus_device_set_queue_cpus(device->bus, cpus);
}

gboolean device_matches(const Device *device, const void *info, gsize len)
{
	const struct ublksrv_ctrl_dev_info *told = info;

	return len >= sizeof(*told) && told->ublksrv_flags == device->cookie &&
	       told->owner_uid == device->uid && told->owner_gid == device->gid;
}

gboolean device_get_node_owner(const Device *device, uid_t *uid)
{
	struct ublk_node_owner owner;
	int fd = ublk_node_open(UBLK_NODE_CHAR, device->id, &owner);

	if (fd < 0)
		return FALSE;
	close(fd);
	*uid = owner.uid;
	return TRUE;
}

gboolean device_is_anothers(const Device *device)
{
	uid_t owner;

	/* Not by the node alone: its owner may give that to a subordinate id, and it is still ours.
	 */
	return device_get_node_owner(device, &owner) && owner != device->uid && owner != 0 &&
	       udev_knows_owner(UBLK_NODE_CHAR, device->id, owner);
}

static void on_sender_vanished(GDBusConnection *bus, const char *name, gpointer user_data)
{
	Device *device = user_data;

	teardown_begin(device, "its creator has left the bus", NULL, NULL);
}

static gboolean on_not_started(gpointer user_data)
{
	Device *device = user_data;

	/* a Start that is under way has a deadline of its own; if it fails, this one comes again */
	if (device->job)
		return G_SOURCE_CONTINUE;
	device->deadline = 0;
	teardown_begin(device, "it was not started in time", NULL, NULL);
	return G_SOURCE_REMOVE;
}

void device_watch_sender(Device *device, GDBusConnection *bus, const char *sender)
{
	device->sender_watch = g_bus_watch_name_on_connection(
		bus, sender, G_BUS_NAME_WATCHER_FLAGS_NONE, NULL, on_sender_vanished, device, NULL);
}

void device_bind_sender(Device *device, GDBusConnection *bus, const char *sender, guint timeout_ms)
{
	if (device->sender != sender) {
		g_free(device->sender);
		device->sender = g_strdup(sender);
	}
	device_watch_sender(device, bus, sender);
	device->deadline = g_timeout_add(timeout_ms, on_not_started, device);
}

void device_unbind_sender(Device *device)
{
	g_clear_handle_id(&device->sender_watch, g_bus_unwatch_name);
	g_clear_handle_id(&device->deadline, g_source_remove);
	g_clear_pointer(&device->sender, g_free);
}

static gboolean on_server_ended(gint fd, GIOCondition condition, gpointer user_data)
{
	Device *device = user_data;

	device->server_watch = 0;
	teardown_begin(device, "its server has ended", NULL, NULL);
	return G_SOURCE_REMOVE;
}

void device_unbind_server(Device *device)
{
	g_clear_handle_id(&device->server_watch, g_source_remove);
	if (device->server_pidfd >= 0)
		close(device->server_pidfd);
	device->server_pidfd = -1;
	device->server_pid = 0;
	if (device->bus)
		ublk_bus_device_set_server_pid(device->bus, 0);
}

/*
 * The pid is the kernel's word, but a number: that it is a process of the owner's is asked when the
 * pidfd holds on to it.
 */
gboolean device_bind_server(Device *device, pid_t pid, GError **error)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	uid_t uid;

	if (pidfd < 0) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_INVALID_STATE,
			    "the server, process %d, has ended", pid);
		return FALSE;
	}
	if (!caller_process_uid(pid, &uid) || uid != device->uid) {
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_ACCESS_DENIED,
			    "the server, process %d, is not user %u's", pid, device->uid);
		close(pidfd);
		return FALSE;
	}
	device_unbind_server(device);
	device->server_pid = pid;
	device->server_pidfd = pidfd;
	device->server_watch = g_unix_fd_add(pidfd, G_IO_IN, on_server_ended, device);
	ublk_bus_device_set_server_pid(device->bus, (guint)pid);
	return TRUE;
}

/* Bytes of what a server says; and how often everybody who watches the device is told. */
#define MAX_TROUBLE      256
#define TROUBLES         10
#define TROUBLE_INTERVAL G_USEC_PER_SEC

/* It is a process of the user's: its words are cut and cleaned, and few. */
static void on_unit_trouble(const char *text, gpointer user_data)
{
	Device *device = user_data;
	g_autofree char *cut = g_strndup(text, MAX_TROUBLE);
	g_autofree char *valid = g_utf8_make_valid(cut, -1);

	/* why it did not start is its caller's to know, and may have the file's path in it */
	if (!device->was_live || g_str_equal(valid, ublk_bus_device_get_server_error(device->bus)))
		return;
	bucket_fill(&device->troubles, TROUBLES, TROUBLE_INTERVAL, g_get_monotonic_time());
	if (device->troubles.tokens < 1)
		return;
	device->troubles.tokens--;
	ublk_bus_device_set_server_error(device->bus, valid);
}

/* systemd is a little later with this than the pidfd, so it is a line of its own. */
static void on_unit_ended(gboolean well, const char *how, gpointer user_data)
{
	Device *device = user_data;
	g_autofree char *ending = g_strdup_printf("its server %s", how);

	/* what everybody expects */
	if (well && teardown_is_wanted(device))
		return;
	if (!teardown_is_wanted(device))
		device_set_ending(device, ending);
	journal_tell(JOURNAL_SERVER_ENDED, &(JournalAbout){ .device = device },
		     "device %u (\"%s\") of user %u: its server %s", device->id, device->name,
		     device->uid, how);
}

void device_set_unit(Device *device, char *unit)
{
	device->unit = unit;
	device->troubles = (Bucket){ TROUBLES, g_get_monotonic_time() };
	device->unit_watch = units_watch(unit, on_unit_trouble, on_unit_ended, device);
}

unsigned int device_get_personality(const Device *device)
{
	return device->as_self ? 0 : creds_get_personality(device->creds);
}

struct ublk_control_cmd device_make_command(const Device *device, guint32 op)
{
	return (struct ublk_control_cmd){
		.op = op,
		.dev_id = device->id,
		.queue_id = UBLK_QUEUE_NONE,
		.personality = device_get_personality(device),
		.timeout_ms = settings()->stop_ms,
	};
}

void device_forget(Device *device)
{
	device_unbind_sender(device);
	device_unbind_server(device);
	g_clear_handle_id(&device->unit_watch, units_unwatch);
	buffers_forget(device);
	state_remove(device->id);
	/* Who hears of it finds nothing left. */
	if (device->object)
		g_dbus_object_manager_server_unexport(
			manager, g_dbus_object_get_object_path(G_DBUS_OBJECT(device->object)));
	g_hash_table_remove(table, GUINT_TO_POINTER(device->id));
}
