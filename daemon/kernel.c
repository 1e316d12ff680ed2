/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel.h"

#include <errno.h>
#include <unistd.h>
#include <glib-unix.h>

#include "error.h"
#include "kernel/ublk-uring.h"

/*
 * How many commands may wait in the kernel at once without holding up the others. A START_DEV or
 * DEL_DEV waits for somebody's server; a user has at most devices-per-user of them.
 */
#define MAX_BLOCKED 256

typedef struct {
	ublk_control_done done;
	gpointer user_data;
	struct ublk_control_op *op;
	GCancellable *cancellable;
	gulong handler;
} Command;

static struct ublk_control *control;
static guint source;
static GList *commands; /* of Command: those that are under way */

static gboolean on_readable(gint fd, GIOCondition condition, gpointer unused)
{
	ublk_control_dispatch(control);
	return G_SOURCE_CONTINUE;
}

struct ublk_control *kernel_get(GError **error)
{
	char why[UBLK_URING_TEXT_MAX];
	int res;

	if (control)
		return control;
	res = ublk_control_open(NULL, MAX_BLOCKED, &control);
	if (res < 0) {
		control = NULL;
		if (res == -ENOENT || res == -ENODEV)
			g_set_error(error, UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
				    "there is no ublk driver in the kernel (" UBLK_CONTROL_PATH
				    ", module ublk_drv, CONFIG_BLK_DEV_UBLK)");
		else if ((res == -EPERM || res == -EACCES) &&
			 access(UBLK_CONTROL_PATH, R_OK | W_OK) < 0)
			/* systemd made the unit's device policy when there was no such device. */
			g_set_error(
				error, UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
				"the ublk driver was loaded after ublkd had been started, which "
				"may use only what was there: `systemctl restart ublkd`");
		else if (res == -ENOSYS || res == -EPERM)
			g_set_error(error, UBLK_ERROR, UBLK_ERROR_NOT_SUPPORTED,
				    "ublkd cannot use io_uring: %s",
				    ublk_uring_explain_here(res, why, sizeof(why)));
		else
			g_set_error(error, UBLK_ERROR, UBLK_ERROR_KERNEL,
				    "cannot open " UBLK_CONTROL_PATH ": %s", g_strerror(-res));
		return NULL;
	}
	source = g_unix_fd_add(ublk_control_get_fd(control), G_IO_IN, on_readable, NULL);
	return control;
}

static void command_free(Command *command)
{
	commands = g_list_remove(commands, command);
	/* not g_cancellable_disconnect(): it would wait for a handler that is calling this */
	if (command->cancellable) {
		g_signal_handler_disconnect(command->cancellable, command->handler);
		g_object_unref(command->cancellable);
	}
	g_free(command);
}

void kernel_close(void)
{
	g_clear_handle_id(&source, g_source_remove);
	/* nobody is told of what is under way */
	ublk_control_close(control);
	control = NULL;
	while (commands)
		command_free(commands->data);
}

guint64 kernel_get_features(void)
{
	return kernel_get(NULL) ? ublk_control_features(control) : 0;
}

static void on_done(int res, const void *buf, size_t len, void *user_data)
{
	Command *command = user_data;
	ublk_control_done done = command->done;
	gpointer done_data = command->user_data;

	command_free(command);
	done(res, buf, len, done_data);
}

static void on_cancelled(GCancellable *cancellable, gpointer user_data)
{
	Command *command = user_data;

	ublk_control_cancel(control, command->op);
}

gboolean kernel_command(const struct ublk_control_cmd *cmd, GCancellable *cancellable,
			ublk_control_done done, gpointer user_data, GError **error)
{
	struct ublk_control *ctl = kernel_get(error);
	Command *command;
	int res;

	if (!ctl || g_cancellable_set_error_if_cancelled(cancellable, error))
		return FALSE;
	command = g_new0(Command, 1);
	command->done = done;
	command->user_data = user_data;
	res = ublk_control_submit(ctl, cmd, on_done, command, &command->op);
	if (res < 0) {
		g_free(command);
		g_set_error(error, UBLK_ERROR, UBLK_ERROR_KERNEL,
			    "cannot hand a command to the kernel: %s", g_strerror(-res));
		return FALSE;
	}
	commands = g_list_prepend(commands, command);
	if (cancellable) {
		command->cancellable = g_object_ref(cancellable);
		command->handler = g_signal_connect(cancellable, "cancelled",
						    G_CALLBACK(on_cancelled), command);
	}
	return TRUE;
}
