/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For a build with the thread sanitizer: what orders threads by way of GLib, which is not built
 * with it. Its locks are futexes and its queues uninstrumented, so that everything that one of our
 * threads hands to another would look like a race. The linker has our calls of the functions below
 * come here
 * (--wrap, meson.build).
 *
 * What is handed over, to whichever thread and in whichever way, is one event: whoever takes
 * something has seen everything that was given before. A main loop takes when it has polled,
 * and when it calls what was handed to it; a thread of a pool or a task when it is called. Locks
 * are events of their own.
 */
#include <gio/gio.h>
#include <sanitizer/tsan_interface.h>
#include <sys/socket.h>

static char handed_over;

static void give(void)
{
	__tsan_release(&handed_over);
}

static void take(void)
{
	__tsan_acquire(&handed_over);
}

#define REAL(type, name, ...) extern type __real_##name(__VA_ARGS__)
#define WRAP(type, name, ...)            \
	type __wrap_##name(__VA_ARGS__); \
	REAL(type, name, __VA_ARGS__);   \
	type __wrap_##name(__VA_ARGS__)

/* ---- locks ---- */

WRAP(void, g_mutex_lock, GMutex *mutex)
{
	__real_g_mutex_lock(mutex);
	__tsan_acquire(mutex);
}

WRAP(void, g_mutex_unlock, GMutex *mutex)
{
	__tsan_release(mutex);
	__real_g_mutex_unlock(mutex);
}

WRAP(void, g_cond_wait, GCond *cond, GMutex *mutex)
{
	__tsan_release(mutex);
	__real_g_cond_wait(cond, mutex);
	__tsan_acquire(mutex);
}

/* ---- main loops ---- */

static gint poll_and_take(GPollFD *fds, guint n, gint timeout)
{
	gint ready = g_poll(fds, n, timeout);

	take();
	return ready;
}

__attribute__((constructor)) static void watch_main_loop(void)
{
	g_main_context_set_poll_func(NULL, poll_and_take);
}

/* What is given after the poll may be called without another one. */
struct callback {
	GSourceFunc function;
	gpointer data;
	GDestroyNotify done;
};

static struct callback *callback_new(GSourceFunc function, gpointer data, GDestroyNotify done)
{
	struct callback *callback = g_new(struct callback, 1);

	*callback = (struct callback){ function, data, done };
	give();
	return callback;
}

static gboolean run_callback(gpointer user_data)
{
	const struct callback *callback = user_data;

	take();
	return callback->function(callback->data);
}

static void free_callback(gpointer user_data)
{
	struct callback *callback = user_data;

	take();
	if (callback->done)
		callback->done(callback->data);
	g_free(callback);
}

WRAP(void, g_source_set_callback, GSource *source, GSourceFunc function, gpointer data,
     GDestroyNotify done)
{
	__real_g_source_set_callback(source, run_callback, callback_new(function, data, done),
				     free_callback);
}

WRAP(guint, g_source_attach, GSource *source, GMainContext *context)
{
	give();
	return __real_g_source_attach(source, context);
}

WRAP(void, g_source_set_ready_time, GSource *source, gint64 time)
{
	give();
	__real_g_source_set_ready_time(source, time);
}

WRAP(guint, g_idle_add_full, gint priority, GSourceFunc function, gpointer data,
     GDestroyNotify done)
{
	return __real_g_idle_add_full(priority, run_callback, callback_new(function, data, done),
				      free_callback);
}

WRAP(guint, g_idle_add, GSourceFunc function, gpointer data)
{
	return __wrap_g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, function, data, NULL);
}

/* ---- pools ---- */

struct worker {
	GFunc function;
	gpointer data;
};

static void work(gpointer item, gpointer user_data)
{
	const struct worker *worker = user_data;

	take();
	worker->function(item, worker->data);
}

/* A pool lives as long as the program. */
WRAP(GThreadPool *, g_thread_pool_new, GFunc function, gpointer data, gint threads,
     gboolean exclusive, GError **error)
{
	struct worker *worker = g_new(struct worker, 1);

	*worker = (struct worker){ function, data };
	return __real_g_thread_pool_new(work, worker, threads, exclusive, error);
}

WRAP(gboolean, g_thread_pool_push, GThreadPool *pool, gpointer item, GError **error)
{
	give();
	return __real_g_thread_pool_push(pool, item, error);
}

/* ---- tasks ---- */

static GQuark task_quark(void)
{
	return g_quark_from_static_string("ublk-task-function");
}

static void run_task(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
	GTaskThreadFunc function =
		(GTaskThreadFunc)g_object_get_qdata(G_OBJECT(task), task_quark());

	take();
	function(task, source, data, cancellable);
}

WRAP(void, g_task_run_in_thread, GTask *task, GTaskThreadFunc function)
{
	g_object_set_qdata(G_OBJECT(task), task_quark(), (gpointer)function);
	give();
	__real_g_task_run_in_thread(task, run_task);
}

WRAP(void, g_task_return_pointer, GTask *task, gpointer result, GDestroyNotify destroy)
{
	give();
	__real_g_task_return_pointer(task, result, destroy);
}

WRAP(void, g_task_return_boolean, GTask *task, gboolean result)
{
	give();
	__real_g_task_return_boolean(task, result);
}

WRAP(void, g_task_return_error, GTask *task, GError *error)
{
	give();
	__real_g_task_return_error(task, error);
}

/* ---- what GDBus's thread reads and calls ---- */

/* The sanitizer sees what is sent, but not that GDBus has received it. */
WRAP(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
	give();
	return __real_sendmsg(fd, message, flags);
}

struct filter {
	GDBusMessageFilterFunction function;
	gpointer data;
	GDestroyNotify done;
};

static GDBusMessage *run_filter(GDBusConnection *connection, GDBusMessage *message,
				gboolean incoming, gpointer user_data)
{
	const struct filter *filter = user_data;
	GDBusMessage *passed;

	take();
	passed = filter->function(connection, message, incoming, filter->data);
	give();
	return passed;
}

static void free_filter(gpointer user_data)
{
	struct filter *filter = user_data;

	take();
	if (filter->done)
		filter->done(filter->data);
	g_free(filter);
}

WRAP(guint, g_dbus_connection_add_filter, GDBusConnection *connection,
     GDBusMessageFilterFunction function, gpointer data, GDestroyNotify done)
{
	struct filter *filter = g_new(struct filter, 1);

	*filter = (struct filter){ function, data, done };
	give();
	return __real_g_dbus_connection_add_filter(connection, run_filter, filter, free_filter);
}
