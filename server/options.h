/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of ublk-server: docs/server.md tells what each option means. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cpu-list.h"
#include "error.h"
#include "kernel/ublk-params.h"
#include "kernel/ublk-uring.h"

enum options_action {
	OPTIONS_RUN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

/* How the target is to reach its backing file. */
enum options_io_mode {
	OPTIONS_IO_AUTO, /* direct where that works with the wanted block size, else buffered */
	OPTIONS_IO_DIRECT,
	OPTIONS_IO_BUFFERED,
};

struct options {
	enum options_action action;
	const char *target;      /* pointers are into argv */
	const char *char_device; /* or: */
	int char_fd;             /* -1: not given */
	uint32_t dev_id;
	uint16_t queues;
	uint16_t depth;
	uint32_t max_io_size; /* bytes */
	uint64_t flags;       /* UBLK_F_* */
	const char *file;     /* or: */
	int file_fd;          /* -1: not given */
	bool receive_file;
	enum options_io_mode io_mode;
	struct ublk_limits limits; /* what the device is wished to be */
	uint32_t given;            /* which members: a set of ublk_params_bit() */
	/* Of these wishes, those that decide how a target goes about its data. */
	uint64_t size;               /* bytes; 0: the target's own */
	uint32_t logical_block_size; /* bytes; 0: the target's own */
	bool read_only;
	struct cpu_list *queue_cpus; /* one per queue, or NULL */
	int report_fd;               /* -1: not given */
	/* Not from the command line: learned while /proc can still be read. */
	struct ublk_uring_facts uring;
};

/*
 * Parse and check. Returns 0, or -EINVAL with the reason in *error; `options` is then valid as far
 * as it was understood (report_fd above all). Free with options_free() in both cases.
 */
int options_parse(int argc, char **argv, struct options *options, struct server_error *error);
void options_free(struct options *options);
void options_print_help(FILE *out);
