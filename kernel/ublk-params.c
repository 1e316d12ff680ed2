/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device's parameters. See ublk-params.h.
 *
 * The rules are of three kinds: those that SET_PARAMS refuses, those that START_DEV refuses (the
 * block layer's, for which a device has long been made), and combinations that the kernel takes and
 * silently changes into something else than was asked for.
 */
#include "ublk-params.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  (1U << SECTOR_SHIFT)
/* The driver's bound for every block size that is not the logical one (since 7.0). */
#define MAX_BLOCK_SIZE (256U << 20)
/* Of 512 bytes, in a 32-bit number. */
#define MAX_DISCARD ((uint64_t)UINT32_MAX << SECTOR_SHIFT)
/* What the driver passes on for parameters that are not set. */
#define DEFAULT_MAX_SEGMENTS          UINT16_MAX
#define DEFAULT_MAX_SEGMENT_SIZE      UINT32_MAX
#define DEFAULT_SEGMENT_BOUNDARY_MASK UINT32_MAX

static uint32_t get_page_size(void)
{
	return (uint32_t)sysconf(_SC_PAGESIZE);
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static uint8_t log2_of(uint32_t value)
{
	return (uint8_t)(31 - __builtin_clz(value));
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* A bound that is the machine's page size. */
#define PAGE           UINT64_MAX
#define LESS_THAN_PAGE "is less than the page size"
#define MORE_THAN_PAGE "is more than the page size"

#define PARAM_BOOL(label, member)                                                               \
	.name = label, .kind = UBLK_PARAM_BOOL, .offset = offsetof(struct ublk_limits, member), \
	.block = UBLK_PARAM_TYPE_BASIC, .zero = true
#define PARAM_U32(label, member, type)                                                         \
	.name = label, .kind = UBLK_PARAM_U32, .offset = offsetof(struct ublk_limits, member), \
	.block = UBLK_PARAM_TYPE_##type
#define PARAM_U64(label, member, type)                                                         \
	.name = label, .kind = UBLK_PARAM_U64, .offset = offsetof(struct ublk_limits, member), \
	.block = UBLK_PARAM_TYPE_##type

/* In the order in which ublk-server reports them. */
static const struct ublk_param table[] = {
	{ PARAM_U64("size", size, BASIC), .min = SECTOR_SIZE, .low = "is less than 512",
	  /* Offsets in a device are signed. */
	  .max = INT64_MAX, .high = "is more than 8 EiB - 1" },
	{ PARAM_U32("logical-block-size", logical_block_size, BASIC), .power = true,
	  .min = SECTOR_SIZE, .low = "is less than 512", .max = PAGE, .high = MORE_THAN_PAGE },
	{ PARAM_U32("physical-block-size", physical_block_size, BASIC), .zero = true, .power = true,
	  .min = SECTOR_SIZE, .low = "is less than 512", .max = MAX_BLOCK_SIZE,
	  .high = "is more than 256 MiB" },
	{ PARAM_U32("io-min", io_min, BASIC), .zero = true, .power = true, .min = SECTOR_SIZE,
	  .low = "is less than 512", .max = MAX_BLOCK_SIZE, .high = "is more than 256 MiB" },
	{ PARAM_U32("io-opt", io_opt, BASIC), .zero = true, .power = true, .min = SECTOR_SIZE,
	  .low = "is less than 512", .max = MAX_BLOCK_SIZE, .high = "is more than 256 MiB" },
	{ PARAM_U32("max-io-size", max_io_size, BASIC), .zero = true, .unit = SECTOR_SIZE,
	  .min = PAGE, .low = LESS_THAN_PAGE },
	{ PARAM_U32("chunk-size", chunk_size, BASIC), .zero = true, .unit = SECTOR_SIZE },
	{ PARAM_U64("virt-boundary-mask", virt_boundary_mask, BASIC), .zero = true, .mask = true },
	/* The block layer takes an alignment of 1, which is a mask of 0, for "not set": 512. */
	{ PARAM_U32("dma-alignment", dma_alignment, DMA_ALIGN), .zero = true, .power = true,
	  .min = 2, .low = "is less than 2", .max = PAGE, .high = MORE_THAN_PAGE },
	{ PARAM_U32("max-segments", max_segments, SEGMENT), .zero = true, .max = UINT16_MAX,
	  .high = "is more than 65535" },
	{ PARAM_U32("max-segment-size", max_segment_size, SEGMENT), .zero = true,
	  .min = UBLK_MIN_SEGMENT_SIZE, .low = "is less than 4096" },
	/* The driver wants the mask plus one to be a power of two: all ones is none. */
	{ PARAM_U64("segment-boundary-mask", segment_boundary_mask, SEGMENT), .zero = true,
	  .mask = true, .min = UBLK_MIN_SEGMENT_SIZE - 1, .low = "is less than 4095",
	  .max = INT64_MAX, .high = "is more than 2^63 - 1" },
	{ PARAM_BOOL("read-only", read_only) },
	{ PARAM_BOOL("rotational", rotational) },
	{ PARAM_BOOL("volatile-cache", volatile_cache) },
	{ PARAM_BOOL("fua", fua) },
	{ PARAM_U64("max-discard-size", max_discard_size, DISCARD), .zero = true,
	  .unit = SECTOR_SIZE, .max = MAX_DISCARD, .high = "is more than 2 TiB - 512" },
	{ PARAM_U32("discard-granularity", discard_granularity, DISCARD), .zero = true,
	  .unit = SECTOR_SIZE },
	{ PARAM_U32("discard-alignment", discard_alignment, DISCARD), .zero = true,
	  .unit = SECTOR_SIZE },
	{ PARAM_U64("max-write-zeroes-size", max_write_zeroes_size, DISCARD), .zero = true,
	  .unit = SECTOR_SIZE, .max = MAX_DISCARD, .high = "is more than 2 TiB - 512" },
};
#define TABLE_LEN (sizeof(table) / sizeof(table[0]))
_Static_assert(TABLE_LEN <= 32, "a set of members is a uint32_t");

const struct ublk_param *ublk_params_table(size_t *n)
{
	*n = TABLE_LEN;
	return table;
}

const struct ublk_param *ublk_params_find(const char *name)
{
	for (size_t i = 0; i < TABLE_LEN; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

uint32_t ublk_params_bit(const struct ublk_param *param)
{
	return 1U << (param - table);
}

uint64_t ublk_params_get(const struct ublk_limits *limits, const struct ublk_param *param)
{
	const void *at = (const char *)limits + param->offset;

	switch (param->kind) {
	case UBLK_PARAM_BOOL:
		return *(const bool *)at;
	case UBLK_PARAM_U32:
		return *(const uint32_t *)at;
	default:
		return *(const uint64_t *)at;
	}
}

void ublk_params_store(struct ublk_limits *limits, const struct ublk_param *param, uint64_t value)
{
	void *at = (char *)limits + param->offset;

	switch (param->kind) {
	case UBLK_PARAM_BOOL:
		*(bool *)at = value != 0;
		break;
	case UBLK_PARAM_U32:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = value;
		break;
	}
}

static uint64_t get_bound(uint64_t bound)
{
	return bound == PAGE ? get_page_size() : bound;
}

const char *ublk_params_check(const struct ublk_param *param, uint64_t value)
{
	if (!value)
		return param->zero ? NULL : "is 0";
	if (param->kind == UBLK_PARAM_U32 && value > UINT32_MAX)
		return "is more than 32 bits hold";
	if (param->power && !is_power_of_two(value))
		return "is not a power of two";
	if (param->mask && (value & (value + 1)))
		return "is not a power of two less one";
	if (param->unit && value % param->unit)
		return "is not a multiple of 512";
	if (param->min && value < get_bound(param->min))
		return param->low;
	if (param->max && value > get_bound(param->max))
		return param->high;
	return NULL;
}

/* A refusal as an expression: names the field and the reason. */
struct refusal {
	const char **field;
	const char **why;
};

static int refuse(const struct refusal *refusal, const char *field, const char *why)
{
	if (refusal->field)
		*refusal->field = field;
	if (refusal->why)
		*refusal->why = why;
	return -EINVAL;
}

/* Put in place of each 0 what it stands for. */
static void set_defaults(struct ublk_limits *l, uint32_t max_io_buf_bytes)
{
	if (!l->logical_block_size)
		l->logical_block_size = SECTOR_SIZE;
	if (!l->physical_block_size)
		l->physical_block_size = max_u32(l->logical_block_size, get_page_size());
	if (!l->io_min)
		l->io_min = l->physical_block_size;
	if (!l->io_opt)
		l->io_opt = l->io_min;
	if (!l->max_io_size)
		l->max_io_size = max_io_buf_bytes - max_io_buf_bytes % l->logical_block_size;
	if (l->max_discard_size && !l->discard_granularity)
		l->discard_granularity = l->physical_block_size;
}

static int check_values(const struct ublk_limits *l, const struct refusal *r)
{
	for (size_t i = 0; i < TABLE_LEN; i++) {
		const char *why = ublk_params_check(&table[i], ublk_params_get(l, &table[i]));

		if (why)
			return refuse(r, table[i].name, why);
	}
	return 0;
}

static int check_blocks(const struct ublk_limits *l, const struct refusal *r)
{
	if (l->physical_block_size < l->logical_block_size)
		return refuse(r, "physical-block-size", "is less than the logical block size");
	/* The block layer would raise io_min, and round io_opt down to nothing. */
	if (l->io_min < l->physical_block_size)
		return refuse(r, "io-min", "is less than the physical block size");
	if (l->io_opt < l->io_min)
		return refuse(r, "io-opt", "is less than io-min");
	if (l->size % l->logical_block_size)
		return refuse(r, "size", "is not a multiple of the logical block size");
	return 0;
}

static int check_requests(const struct ublk_limits *l, uint32_t max_io_buf_bytes,
			  const struct refusal *r)
{
	/* The block layer would round it down. */
	if (l->max_io_size % l->logical_block_size)
		return refuse(r, "max-io-size", "is not a multiple of the logical block size");
	if (l->max_io_size > max_io_buf_bytes)
		return refuse(r, "max-io-size", "is more than the device's buffers hold");
	/* A request that is split at such a boundary must still consist of whole blocks. */
	if (l->chunk_size % l->logical_block_size)
		return refuse(r, "chunk-size", "is not a multiple of the logical block size");
	if (l->fua && !l->volatile_cache)
		return refuse(r, "fua", "needs a volatile cache");
	return 0;
}

static int check_discard(const struct ublk_limits *l, const struct refusal *r)
{
	if (l->max_discard_size % l->logical_block_size)
		return refuse(r, "max-discard-size", "is not a multiple of the logical block size");
	if (!l->max_discard_size && l->discard_granularity)
		return refuse(r, "discard-granularity", "needs a maximal discard size");
	if (!l->max_discard_size && l->discard_alignment)
		return refuse(r, "discard-alignment", "needs a maximal discard size");
	if (l->max_discard_size) {
		if (l->discard_granularity % l->logical_block_size)
			return refuse(r, "discard-granularity",
				      "is not a multiple of the logical block size");
		/* The block layer would raise it. */
		if (l->discard_granularity < l->physical_block_size)
			return refuse(r, "discard-granularity",
				      "is less than the physical block size");
		/* Less than one unit at a time: the block layer would never split to fit. */
		if (l->discard_granularity > l->max_discard_size)
			return refuse(r, "discard-granularity",
				      "is more than the maximal discard size");
		if (l->discard_alignment >= l->discard_granularity)
			return refuse(r, "discard-alignment", "is not less than the granularity");
	}
	if (l->max_write_zeroes_size % l->logical_block_size)
		return refuse(r, "max-write-zeroes-size",
			      "is not a multiple of the logical block size");
	return 0;
}

int ublk_params_build(const struct ublk_limits *limits, uint32_t max_io_buf_bytes,
		      struct ublk_params *params, const char **field, const char **why)
{
	const struct refusal r = { field, why };
	struct ublk_limits l = *limits;
	int ret;

	set_defaults(&l, max_io_buf_bytes);
	/* The block sizes first: others are measured by them. */
	if ((ret = check_values(&l, &r)) < 0 || (ret = check_blocks(&l, &r)) < 0 ||
	    (ret = check_requests(&l, max_io_buf_bytes, &r)) < 0 ||
	    (ret = check_discard(&l, &r)) < 0)
		return ret;

	*params = (struct ublk_params){
		.len = sizeof(*params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.attrs = (l.read_only ? UBLK_ATTR_READ_ONLY : 0) |
				 (l.rotational ? UBLK_ATTR_ROTATIONAL : 0) |
				 (l.volatile_cache ? UBLK_ATTR_VOLATILE_CACHE : 0) |
				 (l.fua ? UBLK_ATTR_FUA : 0),
			.logical_bs_shift = log2_of(l.logical_block_size),
			.physical_bs_shift = log2_of(l.physical_block_size),
			.io_opt_shift = log2_of(l.io_opt),
			.io_min_shift = log2_of(l.io_min),
			.max_sectors = l.max_io_size >> SECTOR_SHIFT,
			.chunk_sectors = l.chunk_size >> SECTOR_SHIFT,
			.dev_sectors = l.size >> SECTOR_SHIFT,
			.virt_boundary_mask = l.virt_boundary_mask,
		},
	};

	if (l.max_discard_size || l.max_write_zeroes_size) {
		params->types |= UBLK_PARAM_TYPE_DISCARD;
		params->discard = (struct ublk_param_discard){
			.discard_alignment = l.discard_alignment,
			/* Also wanted by a device that only writes zeroes. */
			.discard_granularity = l.discard_granularity ? l.discard_granularity
								     : l.physical_block_size,
			.max_discard_sectors = (uint32_t)(l.max_discard_size >> SECTOR_SHIFT),
			.max_write_zeroes_sectors =
				(uint32_t)(l.max_write_zeroes_size >> SECTOR_SHIFT),
			/* The driver takes no other number. */
			.max_discard_segments = 1,
		};
	}
	if (l.dma_alignment) {
		params->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		params->dma.alignment = l.dma_alignment - 1;
	}
	/* One block for the three: what is not asked for becomes what the driver has without it. */
	if (l.max_segments || l.max_segment_size || l.segment_boundary_mask) {
		params->types |= UBLK_PARAM_TYPE_SEGMENT;
		params->seg = (struct ublk_param_segment){
			.seg_boundary_mask = l.segment_boundary_mask
						     ? l.segment_boundary_mask
						     : DEFAULT_SEGMENT_BOUNDARY_MASK,
			.max_segment_size = l.max_segment_size ? l.max_segment_size
							       : DEFAULT_MAX_SEGMENT_SIZE,
			.max_segments = l.max_segments ? (uint16_t)l.max_segments
						       : DEFAULT_MAX_SEGMENTS,
		};
	}
	return 0;
}

/* A shift that some other program set may be anything; one that is out of range means nothing. */
static uint32_t size_of_shift(uint8_t shift)
{
	return shift < 32 ? 1U << shift : 0;
}

void ublk_params_describe(const struct ublk_params *params, struct ublk_limits *limits)
{
	const struct ublk_param_basic *basic = &params->basic;

	*limits = (struct ublk_limits){ 0 };
	if (params->types & UBLK_PARAM_TYPE_BASIC) {
		limits->size = basic->dev_sectors << SECTOR_SHIFT;
		limits->logical_block_size = size_of_shift(basic->logical_bs_shift);
		limits->physical_block_size = size_of_shift(basic->physical_bs_shift);
		limits->io_min = size_of_shift(basic->io_min_shift);
		limits->io_opt = size_of_shift(basic->io_opt_shift);
		limits->max_io_size = basic->max_sectors << SECTOR_SHIFT;
		limits->chunk_size = basic->chunk_sectors << SECTOR_SHIFT;
		limits->virt_boundary_mask = basic->virt_boundary_mask;
		limits->read_only = basic->attrs & UBLK_ATTR_READ_ONLY;
		limits->rotational = basic->attrs & UBLK_ATTR_ROTATIONAL;
		limits->volatile_cache = basic->attrs & UBLK_ATTR_VOLATILE_CACHE;
		limits->fua = basic->attrs & UBLK_ATTR_FUA;
	}
	if (params->types & UBLK_PARAM_TYPE_DISCARD) {
		const struct ublk_param_discard *discard = &params->discard;

		limits->max_discard_size = (uint64_t)discard->max_discard_sectors << SECTOR_SHIFT;
		limits->max_write_zeroes_size = (uint64_t)discard->max_write_zeroes_sectors
						<< SECTOR_SHIFT;
		if (discard->max_discard_sectors) {
			limits->discard_granularity = discard->discard_granularity;
			limits->discard_alignment = discard->discard_alignment;
		}
	}
	if (params->types & UBLK_PARAM_TYPE_DMA_ALIGN)
		limits->dma_alignment = params->dma.alignment + 1;
	if (params->types & UBLK_PARAM_TYPE_SEGMENT) {
		limits->max_segments = params->seg.max_segments;
		limits->max_segment_size = params->seg.max_segment_size;
		limits->segment_boundary_mask = params->seg.seg_boundary_mask;
	}
}

const struct ublk_param *ublk_params_find_lost(const struct ublk_limits *limits,
					       const struct ublk_params *set,
					       const struct ublk_params *kept)
{
	uint32_t lost = set->types & ~kept->types;

	for (size_t i = 0; i < TABLE_LEN; i++)
		if ((table[i].block & lost) && ublk_params_get(limits, &table[i]))
			return &table[i];
	return NULL;
}
