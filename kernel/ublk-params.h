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

/*
 * Sizes in bytes. What 0 stands for is what ublk_params_build() puts in its place; only `size` has
 * no such meaning.
 */
struct ublk_limits {
	uint64_t size;                /* not 0; a multiple of logical_block_size */
	uint32_t logical_block_size;  /* power of two, 512 … page size; 0: 512 */
	uint32_t physical_block_size; /* power of two, logical … 256 MiB; 0: the page size */
	uint32_t io_min;              /* power of two, physical … 256 MiB; 0: physical */
	uint32_t io_opt;              /* power of two, io_min … 256 MiB; 0: io_min */
	uint32_t max_io_size;         /* multiple of logical, >= page size; 0: the buffers' size */
	uint32_t chunk_size;          /* multiple of logical_block_size; 0: none */
	uint64_t virt_boundary_mask;  /* power of two less one; 0: none */
	uint32_t dma_alignment;       /* power of two, 2 … page size; 0: the driver's default */
	uint32_t max_segments;        /* at most 65535; 0: the driver's default */
	uint32_t max_segment_size;    /* >= 4096; 0: the driver's default */
	uint64_t
		segment_boundary_mask; /* power of two less one, >= 4095; 0: the driver's default */
	bool read_only;
	bool rotational;
	bool volatile_cache;            /* the device has a cache that FLUSH empties */
	bool fua;                       /* needs volatile_cache */
	uint64_t max_discard_size;      /* 0: no discard */
	uint32_t discard_granularity;   /* physical … max_discard_size; 0: physical_block_size */
	uint32_t discard_alignment;     /* less than discard_granularity */
	uint64_t max_write_zeroes_size; /* 0: none */
};

enum ublk_param_kind { UBLK_PARAM_BOOL, UBLK_PARAM_U32, UBLK_PARAM_U64 };

/*
 * One member of struct ublk_limits: the name by which all programs, options and messages call it,
 * and what can be said of a value without knowing the others.
 */
struct ublk_param {
	const char *name; /* as the member, with hyphens: "logical-block-size" */
	enum ublk_param_kind kind;
	size_t offset;    /* of the member */
	uint32_t block;   /* UBLK_PARAM_TYPE_*: the driver's block that carries it */
	bool zero;        /* 0 has a meaning: none, or the default */
	uint64_t unit;    /* a value is a multiple of this; 0: no such rule */
	bool power;       /* a power of two */
	bool mask;        /* a power of two less one */
	uint64_t min;     /* of values other than 0; 0: no bound */
	const char *low;  /* "is less than …" */
	uint64_t max;     /* 0: no bound but the type's */
	const char *high; /* "is more than …" */
};

/* All members, *n of them, at most 32: a bit for each fits into a uint32_t. */
const struct ublk_param *ublk_params_table(size_t *n);

/* The member of that name, or NULL. */
const struct ublk_param *ublk_params_find(const char *name);

/* A member's place in the table as a bit, for sets of members. */
uint32_t ublk_params_bit(const struct ublk_param *param);

/* A member's value; booleans are 0 and 1. What is stored must fit the kind. */
uint64_t ublk_params_get(const struct ublk_limits *limits, const struct ublk_param *param);
void ublk_params_store(struct ublk_limits *limits, const struct ublk_param *param, uint64_t value);

/*
 * What is wrong with a value whatever the other members are ("is not a power of two"), or NULL.
 * Static.
 */
const char *ublk_params_check(const struct ublk_param *param, uint64_t value);

/*
 * Fill `params` for a device whose buffers hold max_io_buf_bytes (from dev_info). Returns 0, or
 * -EINVAL with the offending field's name (as in the struct, with hyphens: "logical-block-size") in
 * *field and the reason, a static string, in *why.
 */
int ublk_params_build(const struct ublk_limits *limits, uint32_t max_io_buf_bytes,
		      struct ublk_params *params, const char **field, const char **why);

/* What was set, in plain units: the inverse of ublk_params_build(). */
void ublk_params_describe(const struct ublk_params *params, struct ublk_limits *limits);

/*
 * SET_PARAMS drops, without a word, the blocks that an older driver does not know. From what was
 * set and what GET_PARAMS tells afterwards: the first member of `limits` that got lost so, or NULL.
 */
const struct ublk_param *ublk_params_find_lost(const struct ublk_limits *limits,
					       const struct ublk_params *set,
					       const struct ublk_params *kept);
