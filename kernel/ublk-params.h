/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device's parameters, from what a person says to what SET_PARAMS takes.
 *
 * struct ublk_limits holds them in plain units (bytes, booleans). ublk_params_build() checks them
 * against the driver's rules, before the kernel sees them, so that a refusal can name the
 * parameter: the kernel itself only says -EINVAL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ublk-abi.h"

/* Sizes in bytes. */
struct ublk_limits {
	uint64_t size;                  /* not 0; a multiple of logical_block_size */
	uint32_t logical_block_size;    /* power of two, 512 … page size; 0: 512 */
	uint32_t physical_block_size;   /* power of two, logical … 256 MiB; 0: the page size */
	uint32_t io_min;                /* power of two, physical … 256 MiB; 0: physical */
	uint32_t io_opt;                /* power of two, io_min … 256 MiB; 0: io_min */
	uint32_t max_io_size;           /* multiple of 512, >= page size; 0: the buffers' size */
	uint32_t chunk_size;            /* multiple of logical_block_size; 0: none */
	uint64_t virt_boundary_mask;    /* power of two less one; 0: none */
	uint32_t dma_alignment;         /* power of two, <= page size; 0: the driver's default */
	uint32_t max_segments;          /* at most 65535; 0: the driver's default */
	uint32_t max_segment_size;      /* >= 4096; 0: the driver's default */
	uint64_t segment_boundary_mask; /* power of two less one, >= 4095; 0: none */
	bool read_only;
	bool rotational;
	bool volatile_cache;            /* the device has a cache that FLUSH empties */
	bool fua;                       /* needs volatile_cache */
	uint64_t max_discard_size;      /* 0: no discard */
	uint32_t discard_granularity;   /* at most max_discard_size; 0: logical_block_size */
	uint32_t discard_alignment;     /* less than discard_granularity */
	uint64_t max_write_zeroes_size; /* 0: none */
};

/*
 * Fill `params` for a device whose buffers hold max_io_buf_bytes (from dev_info). Returns 0, or
 * -EINVAL with the offending field's name (as in the struct, with hyphens: "logical-block-size") in
 * *field and the reason, a static string, in *why.
 */
int ublk_params_build(const struct ublk_limits *limits, uint32_t max_io_buf_bytes,
		      struct ublk_params *params, const char **field, const char **why);

/* What was set, in plain units: the inverse of ublk_params_build(). */
void ublk_params_describe(const struct ublk_params *params, struct ublk_limits *limits);
