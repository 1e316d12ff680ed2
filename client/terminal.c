/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Where the terminal itself does not say. */
#define DEFAULT_WIDTH  80
#define DEFAULT_HEIGHT 24

static gboolean is_set(const char *variable)
{
	const char *value = g_getenv(variable);

	return value && *value;
}

static gboolean is_kind(const char *name)
{
	return g_strcmp0(g_getenv("TERM"), name) == 0;
}

struct terminal terminal_get(int fd)
{
	struct terminal terminal = { .width = G_MAXINT, .height = G_MAXINT };
	struct winsize size = { 0 };

	terminal.utf8 = g_get_charset(NULL);
	terminal.present = isatty(fd);
	if (!terminal.present)
		return terminal;
	terminal.moves = is_set("TERM") && !is_kind("dumb");
	terminal.colour = terminal.moves && !is_set("NO_COLOR");
	/* The kernel's own console has a font of few characters. */
	terminal.graphics = terminal.utf8 && terminal.moves && !is_kind("linux");
	ioctl(fd, TIOCGWINSZ, &size);
	terminal.width = size.ws_col ? size.ws_col : DEFAULT_WIDTH;
	terminal.height = size.ws_row ? size.ws_row : DEFAULT_HEIGHT;
	return terminal;
}

void terminal_end_with_reader(void)
{
	signal(SIGPIPE, SIG_DFL);
}

const char *terminal_get_ellipsis(const struct terminal *terminal)
{
	return terminal->utf8 ? "…" : "~";
}

const char *terminal_get_arrow(const struct terminal *terminal)
{
	return terminal->utf8 ? "→" : "->";
}

const char *terminal_begin_style(const struct terminal *terminal, enum terminal_style style)
{
	static const char *const codes[] = {
		[TERMINAL_PLAIN] = "",
		[TERMINAL_GOOD] = "\033[32m",
		[TERMINAL_PASSING] = "\033[33m",
		[TERMINAL_BAD] = "\033[31m",
	};

	return terminal->colour ? codes[style] : "";
}

const char *terminal_end_style(const struct terminal *terminal, enum terminal_style style)
{
	return terminal->colour && style != TERMINAL_PLAIN ? "\033[0m" : "";
}

static int get_width(gunichar c)
{
	return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

int terminal_get_text_width(const char *text)
{
	int width = 0;

	for (; *text; text = g_utf8_next_char(text))
		width += get_width(g_utf8_get_char(text));
	return width;
}

char *terminal_cut_text(const struct terminal *terminal, const char *text, int width)
{
	const char *end = text;
	int used = 0;

	if (terminal_get_text_width(text) <= width)
		return g_strdup(text);
	for (; *end; end = g_utf8_next_char(end)) {
		int more = get_width(g_utf8_get_char(end));

		if (used + more > width - 1)
			break;
		used += more;
	}
	return g_strdup_printf("%.*s%s", (int)(end - text), text, terminal_get_ellipsis(terminal));
}
