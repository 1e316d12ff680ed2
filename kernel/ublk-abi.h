/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's language, up to Linux 7.2: every command, flag, structure and encoding that crosses
 * the line between a process and ublk_drv. The names are the driver's own, so that its
 * documentation can be read beside this code; everything else here was written for this project.
 *
 * Why not <linux/ublk_cmd.h>: a distribution's header is as old as its kernel (Debian 12's ends at
 * 6.1), while the program that is built there may run on, and must speak to, any newer driver. What
 * the running driver really has is asked for at run time (GET_FEATURES), never decided here.
 */
#pragma once

#ifdef USER_BLK_DRV_CMD_INC_H
#error "ublk-abi.h replaces <linux/ublk_cmd.h>: do not include both"
#endif
/* The kernel header's own guard: whoever includes it after us gets nothing, not a clash. */
#define USER_BLK_DRV_CMD_INC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* -------------------------------------------------------------------------------------------------
 * Control commands: IORING_OP_URING_CMD on /dev/ublk-control
 */

/*
 * What a control command carries, in the 80 bytes that a 128-byte SQE has for it. `addr` and `len`
 * are a buffer; for an unprivileged device (and for GET_DEV_INFO2 on any) it starts with the
 * NUL-terminated path of /dev/ublkcN, `dev_path_len` bytes that `len` includes.
 */
struct ublksrv_ctrl_cmd {
	uint32_t dev_id;   /* UINT32_MAX in ADD_DEV: any free number */
	uint16_t queue_id; /* UINT16_MAX unless the command is about one queue */
	uint16_t len;
	uint64_t addr;
	uint64_t data[1];
	uint16_t dev_path_len;
	uint16_t pad;
	uint32_t reserved;
};

/*
 * The first drivers (6.0 to 6.3) know a command by its bare number. Later ones understand the same
 * number inside an ioctl encoding, and a kernel may be built to accept nothing else
 * (CONFIG_BLKDEV_UBLK_LEGACY_OPCODES off). GET_FEATURES and what came after never had a bare form.
 */
#define UBLK_CMD_GET_QUEUE_AFFINITY  0x01
#define UBLK_CMD_GET_DEV_INFO        0x02
#define UBLK_CMD_ADD_DEV             0x04
#define UBLK_CMD_DEL_DEV             0x05
#define UBLK_CMD_START_DEV           0x06
#define UBLK_CMD_STOP_DEV            0x07
#define UBLK_CMD_SET_PARAMS          0x08
#define UBLK_CMD_GET_PARAMS          0x09
#define UBLK_CMD_START_USER_RECOVERY 0x10
#define UBLK_CMD_END_USER_RECOVERY   0x11
#define UBLK_CMD_GET_DEV_INFO2       0x12

/* The direction is part of the number; it is not always the one that data flows in. */
#define UBLK_CTRL_IOR(nr)  _IOR('u', nr, struct ublksrv_ctrl_cmd)
#define UBLK_CTRL_IOWR(nr) _IOWR('u', nr, struct ublksrv_ctrl_cmd)

/* Which CPUs serve queue_id: a bit mask, len bytes of it. */
#define UBLK_U_CMD_GET_QUEUE_AFFINITY UBLK_CTRL_IOR(UBLK_CMD_GET_QUEUE_AFFINITY)
#define UBLK_U_CMD_GET_DEV_INFO       UBLK_CTRL_IOR(UBLK_CMD_GET_DEV_INFO)
/* In and out: struct ublksrv_ctrl_dev_info, as wished and as granted. */
#define UBLK_U_CMD_ADD_DEV UBLK_CTRL_IOWR(UBLK_CMD_ADD_DEV)
/* Waits until nobody holds /dev/ublkcN. */
#define UBLK_U_CMD_DEL_DEV UBLK_CTRL_IOWR(UBLK_CMD_DEL_DEV)
/* data[0]: the server's pid. Waits until every queue has fetched. */
#define UBLK_U_CMD_START_DEV           UBLK_CTRL_IOWR(UBLK_CMD_START_DEV)
#define UBLK_U_CMD_STOP_DEV            UBLK_CTRL_IOWR(UBLK_CMD_STOP_DEV)
#define UBLK_U_CMD_SET_PARAMS          UBLK_CTRL_IOWR(UBLK_CMD_SET_PARAMS)
#define UBLK_U_CMD_GET_PARAMS          UBLK_CTRL_IOR(UBLK_CMD_GET_PARAMS)
#define UBLK_U_CMD_START_USER_RECOVERY UBLK_CTRL_IOWR(UBLK_CMD_START_USER_RECOVERY)
/* data[0]: the new server's pid. */
#define UBLK_U_CMD_END_USER_RECOVERY UBLK_CTRL_IOWR(UBLK_CMD_END_USER_RECOVERY)
/* GET_DEV_INFO that checks the path, and the caller's right to it, whatever kind the device is. */
#define UBLK_U_CMD_GET_DEV_INFO2 UBLK_CTRL_IOR(UBLK_CMD_GET_DEV_INFO2)
/* Out: UBLK_FEATURES_LEN bytes, the UBLK_F_* that this driver knows. About no device. */
#define UBLK_U_CMD_GET_FEATURES UBLK_CTRL_IOR(0x13)
/* Refused for an unprivileged device. */
#define UBLK_U_CMD_DEL_DEV_ASYNC UBLK_CTRL_IOR(0x14)
/* data[0]: the new size in 512-byte sectors. */
#define UBLK_U_CMD_UPDATE_SIZE UBLK_CTRL_IOWR(0x15)
/* data[0]: how many milliseconds to wait for a moment with an idle request. */
#define UBLK_U_CMD_QUIESCE_DEV UBLK_CTRL_IOWR(0x16)
/* STOP_DEV, or -EBUSY while somebody has /dev/ublkbN open. */
#define UBLK_U_CMD_TRY_STOP_DEV UBLK_CTRL_IOWR(0x17)
/* In: struct ublk_shmem_buf_reg. Result: the buffer's index. Pins memory of the issuing process. */
#define UBLK_U_CMD_REG_BUF UBLK_CTRL_IOWR(0x18)
/* data[0]: the buffer's index. */
#define UBLK_U_CMD_UNREG_BUF UBLK_CTRL_IOWR(0x19)

#define UBLK_FEATURES_LEN 8

/* -------------------------------------------------------------------------------------------------
 * The device: its features, states and description
 */

/* What each is and who may use it is told in ublk-features.c. */
#define UBLK_F_SUPPORT_ZERO_COPY      (1ULL << 0)
#define UBLK_F_URING_CMD_COMP_IN_TASK (1ULL << 1)
#define UBLK_F_NEED_GET_DATA          (1ULL << 2)
#define UBLK_F_USER_RECOVERY          (1ULL << 3)
#define UBLK_F_USER_RECOVERY_REISSUE  (1ULL << 4)
#define UBLK_F_UNPRIVILEGED_DEV       (1ULL << 5)
#define UBLK_F_CMD_IOCTL_ENCODE       (1ULL << 6)
#define UBLK_F_USER_COPY              (1ULL << 7)
#define UBLK_F_ZONED                  (1ULL << 8)
#define UBLK_F_USER_RECOVERY_FAIL_IO  (1ULL << 9)
#define UBLK_F_UPDATE_SIZE            (1ULL << 10)
#define UBLK_F_AUTO_BUF_REG           (1ULL << 11)
#define UBLK_F_QUIESCE                (1ULL << 12)
#define UBLK_F_PER_IO_DAEMON          (1ULL << 13)
#define UBLK_F_BUF_REG_OFF_DAEMON     (1ULL << 14)
#define UBLK_F_BATCH_IO               (1ULL << 15)
#define UBLK_F_INTEGRITY              (1ULL << 16)
#define UBLK_F_SAFE_STOP_DEV          (1ULL << 17)
#define UBLK_F_NO_AUTO_PART_SCAN      (1ULL << 18)
#define UBLK_F_SHMEM_ZC               (1ULL << 19)

#define UBLK_S_DEV_DEAD     0 /* added and not started, or stopped, or its server died */
#define UBLK_S_DEV_LIVE     1 /* /dev/ublkbN is there and served */
#define UBLK_S_DEV_QUIESCED 2 /* no server; I/O waits for the next one */
#define UBLK_S_DEV_FAIL_IO  3 /* no server; I/O fails until the next one */

#define UBLK_MAX_QUEUE_DEPTH 4096

struct ublksrv_ctrl_dev_info {
	uint16_t nr_hw_queues;
	uint16_t queue_depth;
	uint16_t state; /* UBLK_S_DEV_* */
	uint16_t pad0;
	uint32_t max_io_buf_bytes; /* the largest request, a multiple of the page size */
	uint32_t dev_id;
	int32_t ublksrv_pid; /* of a live device, as the reader's pid namespace sees it; else -1 */
	uint32_t pad1;
	uint64_t flags;         /* UBLK_F_* */
	uint64_t ublksrv_flags; /* kept for the server, means nothing to the driver */
	uint32_t owner_uid;     /* written by the driver: who issued ADD_DEV */
	uint32_t owner_gid;
	uint64_t reserved1;
	uint64_t reserved2;
};

/* -------------------------------------------------------------------------------------------------
 * The device's parameters: SET_PARAMS before START_DEV, GET_PARAMS
 */

#define UBLK_ATTR_READ_ONLY      (1U << 0)
#define UBLK_ATTR_ROTATIONAL     (1U << 1)
#define UBLK_ATTR_VOLATILE_CACHE (1U << 2)
#define UBLK_ATTR_FUA            (1U << 3)

struct ublk_param_basic {
	uint32_t attrs; /* UBLK_ATTR_* */
	uint8_t logical_bs_shift;
	uint8_t physical_bs_shift;
	uint8_t io_opt_shift;
	uint8_t io_min_shift;
	uint32_t max_sectors;
	uint32_t chunk_sectors;
	uint64_t dev_sectors;
	uint64_t virt_boundary_mask;
};

struct ublk_param_discard {
	uint32_t discard_alignment;   /* bytes */
	uint32_t discard_granularity; /* bytes */
	uint32_t max_discard_sectors;
	uint32_t max_write_zeroes_sectors;
	uint16_t max_discard_segments;
	uint16_t reserved0;
};

/* Read only: filled by GET_PARAMS, the disk's half once the device is live. */
struct ublk_param_devt {
	uint32_t char_major;
	uint32_t char_minor;
	uint32_t disk_major;
	uint32_t disk_minor;
};

struct ublk_param_zoned {
	uint32_t max_open_zones;
	uint32_t max_active_zones;
	uint32_t max_zone_append_sectors;
	uint8_t reserved[20];
};

struct ublk_param_dma_align {
	uint32_t alignment; /* a mask: bytes - 1 */
	uint8_t pad[4];
};

#define UBLK_MIN_SEGMENT_SIZE 4096

/* None of the three may be left 0. */
struct ublk_param_segment {
	uint64_t seg_boundary_mask; /* bytes - 1 */
	uint32_t max_segment_size;  /* bytes */
	uint16_t max_segments;
	uint8_t pad[2];
};

struct ublk_param_integrity {
	uint32_t flags;                  /* LBMD_PI_CAP_* of <linux/fs.h> */
	uint16_t max_integrity_segments; /* 0: any number */
	uint8_t interval_exp;
	uint8_t metadata_size; /* not 0 */
	uint8_t pi_offset;
	uint8_t csum_type; /* LBMD_PI_CSUM_* of <linux/fs.h> */
	uint8_t tag_size;
	uint8_t pad[5];
};

#define UBLK_PARAM_TYPE_BASIC     (1U << 0)
#define UBLK_PARAM_TYPE_DISCARD   (1U << 1)
#define UBLK_PARAM_TYPE_DEVT      (1U << 2)
#define UBLK_PARAM_TYPE_ZONED     (1U << 3)
#define UBLK_PARAM_TYPE_DMA_ALIGN (1U << 4)
#define UBLK_PARAM_TYPE_SEGMENT   (1U << 5)
#define UBLK_PARAM_TYPE_INTEGRITY (1U << 6)

struct ublk_params {
	uint32_t len;   /* of this structure as the sender knows it, also for GET_PARAMS */
	uint32_t types; /* UBLK_PARAM_TYPE_*: the blocks that hold something */
	struct ublk_param_basic basic;
	struct ublk_param_discard discard;
	struct ublk_param_devt devt;
	struct ublk_param_zoned zoned;
	struct ublk_param_dma_align dma;
	struct ublk_param_segment seg;
	struct ublk_param_integrity integrity;
};

/* -------------------------------------------------------------------------------------------------
 * I/O commands: IORING_OP_URING_CMD on /dev/ublkcN
 */

/* What an I/O command carries, in the 16 bytes that an ordinary SQE has for it. */
struct ublksrv_io_cmd {
	uint16_t q_id;
	uint16_t tag;
	int32_t result; /* COMMIT: bytes done (zones for a zone report), or negative errno */
	union {
		uint64_t addr;            /* FETCH and COMMIT: the buffer for the next request */
		uint64_t zone_append_lba; /* COMMIT of a zone append: where it went */
	};
};

#define UBLK_IO_FETCH_REQ            0x20
#define UBLK_IO_COMMIT_AND_FETCH_REQ 0x21
#define UBLK_IO_NEED_GET_DATA        0x22

/* Once per tag, to make the queue ready; completes when there is a request. */
#define UBLK_U_IO_FETCH_REQ _IOWR('u', UBLK_IO_FETCH_REQ, struct ublksrv_io_cmd)
/* The last request's result, and the next fetch in one. */
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ \
	_IOWR('u', UBLK_IO_COMMIT_AND_FETCH_REQ, struct ublksrv_io_cmd)
/* With UBLK_F_NEED_GET_DATA: the buffer for a write, after UBLK_IO_RES_NEED_GET_DATA. */
#define UBLK_U_IO_NEED_GET_DATA _IOWR('u', UBLK_IO_NEED_GET_DATA, struct ublksrv_io_cmd)
/* Zero copy: put a request's pages into the ring's table of fixed buffers, and take them out. */
#define UBLK_U_IO_REGISTER_IO_BUF   _IOWR('u', 0x23, struct ublksrv_io_cmd)
#define UBLK_U_IO_UNREGISTER_IO_BUF _IOWR('u', 0x24, struct ublksrv_io_cmd)
/* UBLK_F_BATCH_IO: the three that replace FETCH, COMMIT_AND_FETCH and NEED_GET_DATA. */
#define UBLK_U_IO_PREP_IO_CMDS _IOWR('u', 0x25, struct ublk_batch_io)
/* Result: how many bytes of the elements were taken; what remains is to be committed again. */
#define UBLK_U_IO_COMMIT_IO_CMDS _IOWR('u', 0x26, struct ublk_batch_io)
/* Multishot, into provided buffers of tags. */
#define UBLK_U_IO_FETCH_IO_CMDS _IOWR('u', 0x27, struct ublk_batch_io)

/* What a fetch completes with. */
#define UBLK_IO_RES_OK            0
#define UBLK_IO_RES_NEED_GET_DATA 1
#define UBLK_IO_RES_ABORT         (-ENODEV) /* the device goes: no further fetch for this tag */

/* -------------------------------------------------------------------------------------------------
 * A request, as read from the mapped descriptors of a queue
 */

struct ublksrv_io_desc {
	uint32_t op_flags; /* UBLK_IO_OP_* in bits 0-7, UBLK_IO_F_* above */
	union {
		uint32_t nr_sectors;
		uint32_t nr_zones; /* of a zone report */
	};
	uint64_t start_sector;
	uint64_t addr; /* the buffer; with UBLK_IO_F_SHMEM_ZC see ublk_shmem_zc_addr() */
};

#define UBLK_IO_OP_READ           0
#define UBLK_IO_OP_WRITE          1
#define UBLK_IO_OP_FLUSH          2
#define UBLK_IO_OP_DISCARD        3
#define UBLK_IO_OP_WRITE_SAME     4 /* reserved; the block layer has no such request any more */
#define UBLK_IO_OP_WRITE_ZEROES   5
#define UBLK_IO_OP_ZONE_OPEN      10
#define UBLK_IO_OP_ZONE_CLOSE     11
#define UBLK_IO_OP_ZONE_FINISH    12
#define UBLK_IO_OP_ZONE_APPEND    13
#define UBLK_IO_OP_ZONE_RESET_ALL 14
#define UBLK_IO_OP_ZONE_RESET     15
/* The reply is an array of struct blk_zone; a zeroed entry ends it early. */
#define UBLK_IO_OP_REPORT_ZONES 18

/* Bits of op_flags as it stands: compare with ublk_desc_flags(), which does not shift. */
#define UBLK_IO_F_FAILFAST_DEV       (1U << 8)
#define UBLK_IO_F_FAILFAST_TRANSPORT (1U << 9)
#define UBLK_IO_F_FAILFAST_DRIVER    (1U << 10)
#define UBLK_IO_F_META               (1U << 11)
#define UBLK_IO_F_FUA                (1U << 13)
#define UBLK_IO_F_NOUNMAP            (1U << 15) /* WRITE_ZEROES that must keep its space */
#define UBLK_IO_F_SWAP               (1U << 16)
#define UBLK_IO_F_NEED_REG_BUF       (1U << 17) /* automatic registration failed: do it by hand */
#define UBLK_IO_F_INTEGRITY          (1U << 18)
#define UBLK_IO_F_SHMEM_ZC           (1U << 19)

static inline uint8_t ublksrv_get_op(const struct ublksrv_io_desc *iod)
{
	return (uint8_t)iod->op_flags;
}

/*
 * The kernel header's ublksrv_get_flags() shifts the flags down by 8, though their own definitions
 * are not shifted: FUA tested with it is never seen. So it is left out here, and this put in its
 * place.
 */
static inline uint32_t ublk_desc_flags(const struct ublksrv_io_desc *iod)
{
	return iod->op_flags & ~0xffU;
}

/* -------------------------------------------------------------------------------------------------
 * Offsets on /dev/ublkcN
 */

/*
 * mmap, read only: the descriptors of queue q start at UBLKSRV_CMD_BUF_OFFSET + q * (room for
 * UBLK_MAX_QUEUE_DEPTH descriptors, rounded up to a page).
 */
#define UBLKSRV_CMD_BUF_OFFSET 0

/* pread/pwrite with UBLK_F_USER_COPY: base, then queue, tag and byte in one offset. */
#define UBLKSRV_IO_BUF_OFFSET 0x80000000ULL

#define UBLK_IO_BUF_OFF       0
#define UBLK_IO_BUF_BITS      25 /* 32 MiB */
#define UBLK_IO_BUF_BITS_MASK ((1ULL << UBLK_IO_BUF_BITS) - 1)
#define UBLK_TAG_OFF          UBLK_IO_BUF_BITS
#define UBLK_TAG_BITS         16
#define UBLK_TAG_BITS_MASK    ((1ULL << UBLK_TAG_BITS) - 1)
#define UBLK_QID_OFF          (UBLK_TAG_OFF + UBLK_TAG_BITS)
#define UBLK_QID_BITS         12
#define UBLK_QID_BITS_MASK    ((1ULL << UBLK_QID_BITS) - 1)

#define UBLK_MAX_NR_QUEUES (1U << UBLK_QID_BITS)

#define UBLKSRV_IO_BUF_TOTAL_BITS (UBLK_QID_OFF + UBLK_QID_BITS)
#define UBLKSRV_IO_BUF_TOTAL_SIZE (1ULL << UBLKSRV_IO_BUF_TOTAL_BITS)

/* In such an offset: the request's integrity metadata in place of its data. */
#define UBLK_INTEGRITY_FLAG_OFF   62
#define UBLKSRV_IO_INTEGRITY_FLAG (1ULL << UBLK_INTEGRITY_FLAG_OFF)

static inline uint64_t ublk_user_copy_offset(uint16_t q_id, uint16_t tag, uint32_t byte)
{
	return UBLKSRV_IO_BUF_OFFSET +
	       ((uint64_t)q_id << UBLK_QID_OFF | (uint64_t)tag << UBLK_TAG_OFF | (uint64_t)byte);
}

/* -------------------------------------------------------------------------------------------------
 * UBLK_F_AUTO_BUF_REG: registration of a request's buffer, wished for in sqe->addr
 */

/* If it fails, deliver the request all the same, with UBLK_IO_F_NEED_REG_BUF. */
#define UBLK_AUTO_BUF_REG_FALLBACK (1 << 0)
#define UBLK_AUTO_BUF_REG_F_MASK   UBLK_AUTO_BUF_REG_FALLBACK

struct ublk_auto_buf_reg {
	uint16_t index; /* in the ring's table of fixed buffers */
	uint8_t flags;  /* UBLK_AUTO_BUF_REG_* */
	uint8_t reserved0;
	uint32_t reserved1;
};

/* index in bits 0-15, flags in 16-23, the reserved fields above. */
static inline uint64_t ublk_auto_buf_reg_to_sqe_addr(const struct ublk_auto_buf_reg *reg)
{
	return (uint64_t)reg->reserved1 << 32 | (uint64_t)reg->reserved0 << 24 |
	       (uint64_t)reg->flags << 16 | reg->index;
}

static inline struct ublk_auto_buf_reg ublk_sqe_addr_to_auto_buf_reg(uint64_t addr)
{
	struct ublk_auto_buf_reg reg;

	reg.index = (uint16_t)addr;
	reg.flags = (uint8_t)(addr >> 16);
	reg.reserved0 = (uint8_t)(addr >> 24);
	reg.reserved1 = (uint32_t)(addr >> 32);
	return reg;
}

/* -------------------------------------------------------------------------------------------------
 * UBLK_F_BATCH_IO: many requests in one command
 */

/* Which optional words each element has. */
#define UBLK_BATCH_F_HAS_ZONE_LBA          (1 << 0)
#define UBLK_BATCH_F_HAS_BUF_ADDR          (1 << 1)
#define UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK (1 << 2)

struct ublk_batch_io {
	uint16_t q_id;
	uint16_t flags; /* UBLK_BATCH_F_* */
	uint16_t nr_elem;
	uint8_t elem_bytes; /* size of one element: the header and its optional words */
	uint8_t reserved;
	uint64_t reserved2;
};

/* An element starts so; then 8 bytes of address if HAS_BUF_ADDR, 8 of LBA if HAS_ZONE_LBA. */
struct ublk_elem_header {
	uint16_t tag;
	uint16_t buf_index; /* with UBLK_F_AUTO_BUF_REG */
	int32_t result;     /* COMMIT only */
};

/* -------------------------------------------------------------------------------------------------
 * UBLK_F_SHMEM_ZC: memory that the client and the server share
 */

#define UBLK_SHMEM_BUF_READ_ONLY (1U << 0) /* pin without write access: for a sealed memfd */

struct ublk_shmem_buf_reg {
	uint64_t addr;  /* in the process that issues REG_BUF */
	uint64_t len;   /* bytes, whole pages */
	uint32_t flags; /* UBLK_SHMEM_BUF_* */
	uint32_t reserved;
};

/* A descriptor's addr with UBLK_IO_F_SHMEM_ZC: byte offset in bits 0-31, buffer index in 32-47. */
#define UBLK_SHMEM_ZC_OFF_MASK 0xffffffffULL
#define UBLK_SHMEM_ZC_IDX_OFF  32
#define UBLK_SHMEM_ZC_IDX_MASK 0xffffULL

static inline uint64_t ublk_shmem_zc_addr(uint16_t index, uint32_t offset)
{
	return (uint64_t)index << UBLK_SHMEM_ZC_IDX_OFF | offset;
}

static inline uint16_t ublk_shmem_zc_index(uint64_t addr)
{
	return (uint16_t)(addr >> UBLK_SHMEM_ZC_IDX_OFF);
}

static inline uint32_t ublk_shmem_zc_offset(uint64_t addr)
{
	return (uint32_t)addr;
}

/* -------------------------------------------------------------------------------------------------
 * The line is bytes: what the compiler made of the above must be what the driver reads.
 */

#define UBLK_ABI_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has another size")
#define UBLK_ABI_AT(type, member, at) \
	_Static_assert(offsetof(type, member) == (at), #type "." #member " is elsewhere")
#define UBLK_ABI_NR(name, nr) _Static_assert((uint32_t)(name) == (nr), #name " has another number")

UBLK_ABI_SIZE(struct ublksrv_ctrl_cmd, 32);
UBLK_ABI_AT(struct ublksrv_ctrl_cmd, queue_id, 4);
UBLK_ABI_AT(struct ublksrv_ctrl_cmd, len, 6);
UBLK_ABI_AT(struct ublksrv_ctrl_cmd, addr, 8);
UBLK_ABI_AT(struct ublksrv_ctrl_cmd, data, 16);
UBLK_ABI_AT(struct ublksrv_ctrl_cmd, dev_path_len, 24);

UBLK_ABI_SIZE(struct ublksrv_ctrl_dev_info, 64);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, state, 4);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, max_io_buf_bytes, 8);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, dev_id, 12);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, ublksrv_pid, 16);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, flags, 24);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, ublksrv_flags, 32);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, owner_uid, 40);
UBLK_ABI_AT(struct ublksrv_ctrl_dev_info, owner_gid, 44);

UBLK_ABI_SIZE(struct ublk_param_basic, 32);
UBLK_ABI_AT(struct ublk_param_basic, logical_bs_shift, 4);
UBLK_ABI_AT(struct ublk_param_basic, io_opt_shift, 6);
UBLK_ABI_AT(struct ublk_param_basic, io_min_shift, 7);
UBLK_ABI_AT(struct ublk_param_basic, dev_sectors, 16);
UBLK_ABI_SIZE(struct ublk_param_discard, 20);
UBLK_ABI_SIZE(struct ublk_param_devt, 16);
UBLK_ABI_SIZE(struct ublk_param_zoned, 32);
UBLK_ABI_SIZE(struct ublk_param_dma_align, 8);
UBLK_ABI_SIZE(struct ublk_param_segment, 16);
UBLK_ABI_SIZE(struct ublk_param_integrity, 16);
UBLK_ABI_SIZE(struct ublk_params, 152);
UBLK_ABI_AT(struct ublk_params, basic, 8);
UBLK_ABI_AT(struct ublk_params, discard, 40);
UBLK_ABI_AT(struct ublk_params, devt, 60);
UBLK_ABI_AT(struct ublk_params, zoned, 76);
UBLK_ABI_AT(struct ublk_params, dma, 108);
UBLK_ABI_AT(struct ublk_params, seg, 120);
UBLK_ABI_AT(struct ublk_params, integrity, 136);

UBLK_ABI_SIZE(struct ublksrv_io_cmd, 16);
UBLK_ABI_AT(struct ublksrv_io_cmd, result, 4);
UBLK_ABI_AT(struct ublksrv_io_cmd, addr, 8);
UBLK_ABI_SIZE(struct ublksrv_io_desc, 24);
UBLK_ABI_AT(struct ublksrv_io_desc, start_sector, 8);
UBLK_ABI_AT(struct ublksrv_io_desc, addr, 16);
UBLK_ABI_SIZE(struct ublk_auto_buf_reg, 8);
UBLK_ABI_SIZE(struct ublk_batch_io, 16);
UBLK_ABI_AT(struct ublk_batch_io, elem_bytes, 6);
UBLK_ABI_SIZE(struct ublk_elem_header, 8);
UBLK_ABI_SIZE(struct ublk_shmem_buf_reg, 24);

/* Worked out by hand for the encoding that all but a few architectures share. */
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || defined(__arm__) || \
	defined(__riscv) || defined(__s390x__) || defined(__loongarch__)
UBLK_ABI_NR(UBLK_U_CMD_GET_QUEUE_AFFINITY, 0x80207501);
UBLK_ABI_NR(UBLK_U_CMD_GET_DEV_INFO, 0x80207502);
UBLK_ABI_NR(UBLK_U_CMD_ADD_DEV, 0xc0207504);
UBLK_ABI_NR(UBLK_U_CMD_DEL_DEV, 0xc0207505);
UBLK_ABI_NR(UBLK_U_CMD_START_DEV, 0xc0207506);
UBLK_ABI_NR(UBLK_U_CMD_STOP_DEV, 0xc0207507);
UBLK_ABI_NR(UBLK_U_CMD_SET_PARAMS, 0xc0207508);
UBLK_ABI_NR(UBLK_U_CMD_GET_PARAMS, 0x80207509);
UBLK_ABI_NR(UBLK_U_CMD_START_USER_RECOVERY, 0xc0207510);
UBLK_ABI_NR(UBLK_U_CMD_END_USER_RECOVERY, 0xc0207511);
UBLK_ABI_NR(UBLK_U_CMD_GET_DEV_INFO2, 0x80207512);
UBLK_ABI_NR(UBLK_U_CMD_GET_FEATURES, 0x80207513);
UBLK_ABI_NR(UBLK_U_CMD_DEL_DEV_ASYNC, 0x80207514);
UBLK_ABI_NR(UBLK_U_CMD_UPDATE_SIZE, 0xc0207515);
UBLK_ABI_NR(UBLK_U_CMD_QUIESCE_DEV, 0xc0207516);
UBLK_ABI_NR(UBLK_U_CMD_TRY_STOP_DEV, 0xc0207517);
UBLK_ABI_NR(UBLK_U_CMD_REG_BUF, 0xc0207518);
UBLK_ABI_NR(UBLK_U_CMD_UNREG_BUF, 0xc0207519);
UBLK_ABI_NR(UBLK_U_IO_FETCH_REQ, 0xc0107520);
UBLK_ABI_NR(UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0xc0107521);
UBLK_ABI_NR(UBLK_U_IO_NEED_GET_DATA, 0xc0107522);
UBLK_ABI_NR(UBLK_U_IO_REGISTER_IO_BUF, 0xc0107523);
UBLK_ABI_NR(UBLK_U_IO_UNREGISTER_IO_BUF, 0xc0107524);
UBLK_ABI_NR(UBLK_U_IO_PREP_IO_CMDS, 0xc0107525);
UBLK_ABI_NR(UBLK_U_IO_COMMIT_IO_CMDS, 0xc0107526);
UBLK_ABI_NR(UBLK_U_IO_FETCH_IO_CMDS, 0xc0107527);
#endif

#undef UBLK_ABI_SIZE
#undef UBLK_ABI_AT
#undef UBLK_ABI_NR
