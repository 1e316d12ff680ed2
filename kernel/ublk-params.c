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

/* Put in place of each 0 what it stands for. Returns whether the segment block is wanted. */
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
		l->max_io_size = max_io_buf_bytes & ~(SECTOR_SIZE - 1);
	if (l->max_discard_size && !l->discard_granularity)
		l->discard_granularity = l->logical_block_size;
}

static int check_blocks(const struct ublk_limits *l, const struct refusal *r)
{
	if (!is_power_of_two(l->logical_block_size))
		return refuse(r, "logical-block-size", "is not a power of two");
	if (l->logical_block_size < SECTOR_SIZE)
		return refuse(r, "logical-block-size", "is less than 512");
	if (l->logical_block_size > get_page_size())
		return refuse(r, "logical-block-size", "is more than the page size");

	if (!is_power_of_two(l->physical_block_size))
		return refuse(r, "physical-block-size", "is not a power of two");
	if (l->physical_block_size < l->logical_block_size)
		return refuse(r, "physical-block-size", "is less than the logical block size");
	if (l->physical_block_size > MAX_BLOCK_SIZE)
		return refuse(r, "physical-block-size", "is more than 256 MiB");

	/* The block layer would raise io_min, and round io_opt down to nothing. */
	if (!is_power_of_two(l->io_min))
		return refuse(r, "io-min", "is not a power of two");
	if (l->io_min < l->physical_block_size)
		return refuse(r, "io-min", "is less than the physical block size");
	if (l->io_min > MAX_BLOCK_SIZE)
		return refuse(r, "io-min", "is more than 256 MiB");
	if (!is_power_of_two(l->io_opt))
		return refuse(r, "io-opt", "is not a power of two");
	if (l->io_opt < l->io_min)
		return refuse(r, "io-opt", "is less than io-min");
	if (l->io_opt > MAX_BLOCK_SIZE)
		return refuse(r, "io-opt", "is more than 256 MiB");
	return 0;
}

static int check_size(const struct ublk_limits *l, const struct refusal *r)
{
	if (!l->size)
		return refuse(r, "size", "is 0");
	if (l->size % l->logical_block_size)
		return refuse(r, "size", "is not a multiple of the logical block size");
	/* Offsets in a device are signed. */
	if (l->size > INT64_MAX)
		return refuse(r, "size", "is more than 8 EiB - 1");
	return 0;
}

static int check_requests(const struct ublk_limits *l, uint32_t max_io_buf_bytes,
			  const struct refusal *r)
{
	if (l->max_io_size % SECTOR_SIZE)
		return refuse(r, "max-io-size", "is not a multiple of 512");
	if (l->max_io_size < get_page_size())
		return refuse(r, "max-io-size", "is less than the page size");
	if (l->max_io_size > max_io_buf_bytes)
		return refuse(r, "max-io-size", "is more than the device's buffers hold");
	/* A request that is split at such a boundary must still consist of whole blocks. */
	if (l->chunk_size % l->logical_block_size)
		return refuse(r, "chunk-size", "is not a multiple of the logical block size");
	if (l->virt_boundary_mask & (l->virt_boundary_mask + 1))
		return refuse(r, "virt-boundary-mask", "is not a power of two less one");
	if (l->fua && !l->volatile_cache)
		return refuse(r, "fua", "needs a volatile cache");
	return 0;
}

static int check_memory(const struct ublk_limits *l, const struct refusal *r)
{
	if (l->dma_alignment && !is_power_of_two(l->dma_alignment))
		return refuse(r, "dma-alignment", "is not a power of two");
	if (l->dma_alignment > get_page_size())
		return refuse(r, "dma-alignment", "is more than the page size");
	if (l->max_segments > UINT16_MAX)
		return refuse(r, "max-segments", "is more than 65535");
	if (l->max_segment_size && l->max_segment_size < UBLK_MIN_SEGMENT_SIZE)
		return refuse(r, "max-segment-size", "is less than 4096");
	/* The mask plus one must be a power of two, so all ones is refused as well. */
	if (l->segment_boundary_mask && !is_power_of_two(l->segment_boundary_mask + 1))
		return refuse(r, "segment-boundary-mask", "is not a power of two less one");
	if (l->segment_boundary_mask && l->segment_boundary_mask < UBLK_MIN_SEGMENT_SIZE - 1)
		return refuse(r, "segment-boundary-mask", "is less than 4095");
	return 0;
}

static int check_discard(const struct ublk_limits *l, const struct refusal *r)
{
	const uint64_t max = (uint64_t)UINT32_MAX << SECTOR_SHIFT;

	if (l->max_discard_size % l->logical_block_size)
		return refuse(r, "max-discard-size", "is not a multiple of the logical block size");
	if (l->max_discard_size > max)
		return refuse(r, "max-discard-size", "is more than 2 TiB - 512");
	if (!l->max_discard_size && l->discard_granularity)
		return refuse(r, "discard-granularity", "needs a maximal discard size");
	if (!l->max_discard_size && l->discard_alignment)
		return refuse(r, "discard-alignment", "needs a maximal discard size");
	if (l->max_discard_size) {
		if (l->discard_granularity % l->logical_block_size)
			return refuse(r, "discard-granularity",
				      "is not a multiple of the logical block size");
		/* Less than one unit at a time: the block layer would never split to fit. */
		if (l->discard_granularity > l->max_discard_size)
			return refuse(r, "discard-granularity",
				      "is more than the maximal discard size");
		if (l->discard_alignment % SECTOR_SIZE)
			return refuse(r, "discard-alignment", "is not a multiple of 512");
		if (l->discard_alignment >= l->discard_granularity)
			return refuse(r, "discard-alignment", "is not less than the granularity");
	}
	if (l->max_write_zeroes_size % l->logical_block_size)
		return refuse(r, "max-write-zeroes-size",
			      "is not a multiple of the logical block size");
	if (l->max_write_zeroes_size > max)
		return refuse(r, "max-write-zeroes-size", "is more than 2 TiB - 512");
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
	if ((ret = check_blocks(&l, &r)) < 0 || (ret = check_size(&l, &r)) < 0 ||
	    (ret = check_requests(&l, max_io_buf_bytes, &r)) < 0 ||
	    (ret = check_memory(&l, &r)) < 0 || (ret = check_discard(&l, &r)) < 0)
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
								     : l.logical_block_size,
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
