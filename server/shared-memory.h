/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that the device's users share with the server (UBLK_F_SHMEM_ZC): a request whose data lies
 * in it is served there, and nothing is copied. docs/shared-memory.md tells the whole way.
 *
 * ublkd hands over each memory as a descriptor, on the report socket, before the driver knows of
 * it, and takes it back after the driver has forgotten it; so a request in a memory that is not
 * here is a mistake, and fails with EIO. The table is the process's: it serves one device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Indices that a buffer can have here: 0 to this - 1. ublkd allows a device fewer. */
#define SHARED_MEMORY_BUFFERS 256

/* What a request needs to keep; zeroed is "uses no shared memory". */
struct shared_memory_use {
	unsigned int slot; /* index + 1, or 0 */
	void *own;         /* the tag's buffer, which the request's was before */
	void *copy_to;     /* where a read's data goes in the end; NULL: it is there already */
};

/* Whether descriptor `fd` can bring memory: it is a SOCK_SEQPACKET socket. -1 is allowed. */
bool shared_memory_can_listen(int fd);

/*
 * Take one message from `fd`, do what it says and answer; in the main thread, when `fd` is
 * readable. Returns 0, or negative errno when nothing more will come (-EPIPE: the other end is
 * gone); what is mapped stays so.
 */
int shared_memory_handle_message(int fd);

/*
 * A read or write of `length` bytes has UBLK_IO_F_SHMEM_ZC and `addr` in its descriptor: put into
 * *buffer where its data is or goes. Data at an address that targets may not be able to take
 * (they are promised whole pages) is copied to or from the tag's buffer after all. Returns 0, or
 * -EIO if there is no such memory: the driver's word is not believed. In any queue's thread.
 */
int shared_memory_begin(struct shared_memory_use *use, bool is_read, uint64_t addr, uint64_t length,
			void **buffer);

/* The request has ended, with `length` bytes of a read (0: it failed). Puts *buffer back. */
void shared_memory_end(struct shared_memory_use *use, uint64_t length, void **buffer);
