/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "affinity.h"

#include "daemon.h"
#include "kernel.h"

/* Bits for this many processors: the driver wants room for all that there may be. */
#define MAX_CPUS 8192

typedef struct {
	Device *device;
	GCancellable *cancellable;
	GPtrArray *cpus; /* of char *, one for each queue that was asked about */
	AffinityDone done;
	gpointer user_data;
} Asking;

char *affinity_format(const guint8 *bits, gsize len)
{
	GString *text = g_string_new(NULL);
	gsize n = len * 8;

	for (gsize cpu = 0; cpu < n; cpu++) {
		gsize first = cpu;

		if (!(bits[cpu / 8] & (1 << cpu % 8)))
			continue;
		while (cpu + 1 < n && (bits[(cpu + 1) / 8] & (1 << (cpu + 1) % 8)))
			cpu++;
		g_string_append_printf(text, "%s%zu", text->len ? "," : "", first);
		if (cpu > first)
			g_string_append_printf(text, "-%zu", cpu);
	}
	return g_string_free(text, FALSE);
}

static gboolean end(gpointer user_data)
{
	Asking *asking = user_data;

	g_ptr_array_add(asking->cpus, NULL);
	device_set_queue_cpus(asking->device, (const char *const *)asking->cpus->pdata);
	asking->done(asking->user_data);
	g_ptr_array_unref(asking->cpus);
	g_clear_object(&asking->cancellable);
	device_unref(asking->device);
	g_free(asking);
	return G_SOURCE_REMOVE;
}

static void ask_next(Asking *asking);

static void on_answer(int res, const void *buf, size_t len, void *user_data)
{
	Asking *asking = user_data;

	g_ptr_array_add(asking->cpus, res < 0 ? g_strdup("") : affinity_format(buf, len));
	ask_next(asking);
}

static void ask_next(Asking *asking)
{
	Device *device = asking->device;
	guint8 bits[MAX_CPUS / 8] = { 0 };
	struct ublk_control_cmd cmd = device_make_command(device, UBLK_U_CMD_GET_QUEUE_AFFINITY);

	cmd.queue_id = (guint16)asking->cpus->len;
	cmd.buf = bits;
	cmd.len = sizeof(bits);
	if (asking->cpus->len < device->queues &&
	    kernel_command(&cmd, asking->cancellable, on_answer, asking, NULL))
		return;
	while (asking->cpus->len < device->queues)
		g_ptr_array_add(asking->cpus, g_strdup(""));
	g_idle_add(end, asking);
}

void affinity_ask(Device *device, GCancellable *cancellable, AffinityDone done, gpointer user_data)
{
	Asking *asking = g_new0(Asking, 1);

	asking->device = device_ref(device);
	asking->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
	asking->cpus = g_ptr_array_new_with_free_func(g_free);
	asking->done = done;
	asking->user_data = user_data;
	ask_next(asking);
}
