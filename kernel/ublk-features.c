/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one table of the driver's features. See ublk-features.h.
 */
#include "ublk-features.h"

#include <string.h>

#include "ublk-abi.h"

/*
 * `unprivileged` is what ADD_DEV without CAP_SYS_ADMIN does on Linux 7.2; older drivers differ only
 * in that they drop the flags that they do not know. The driver's two reasons: a server that nobody
 * trusts must not decide which bytes of a kernel buffer its reader gets to see, and must not be
 * waited for without end.
 */
static const struct ublk_feature features[] = {
	{ UBLK_F_SUPPORT_ZERO_COPY, "zero-copy", "6.15", UBLK_FEATURE_REFUSED,
	  "the server hands the request's own pages to other I/O; one that fills too few of them "
	  "would show kernel memory" },
	{ UBLK_F_URING_CMD_COMP_IN_TASK, "comp-in-task", "6.0", UBLK_FEATURE_IMPLIED,
	  "requests are delivered in the server's own context" },
	{ UBLK_F_NEED_GET_DATA, "need-get-data", "6.0", UBLK_FEATURE_ALLOWED,
	  "the server asks for a write's data when it has a buffer for it" },
	{ UBLK_F_USER_RECOVERY, "user-recovery", "6.1", UBLK_FEATURE_CLEARED,
	  "the device outlives its server; its users would wait for a next one without end" },
	{ UBLK_F_USER_RECOVERY_REISSUE, "user-recovery-reissue", "6.1", UBLK_FEATURE_CLEARED,
	  "with user-recovery: what a dead server had in hand goes to the next one" },
	{ UBLK_F_UNPRIVILEGED_DEV, "unprivileged-dev", "6.3", UBLK_FEATURE_ALLOWED,
	  "the device is its creator's; ADD_DEV without CAP_SYS_ADMIN has to ask for it" },
	{ UBLK_F_CMD_IOCTL_ENCODE, "cmd-ioctl-encode", "6.4", UBLK_FEATURE_IMPLIED,
	  "commands are encoded like ioctls" },
	{ UBLK_F_USER_COPY, "user-copy", "6.5", UBLK_FEATURE_REFUSED,
	  "the server copies data itself; one that copies too little would show kernel memory" },
	{ UBLK_F_ZONED, "zoned", "6.6", UBLK_FEATURE_REFUSED,
	  "a zoned device; needs user-copy or zero-copy" },
	{ UBLK_F_USER_RECOVERY_FAIL_IO, "user-recovery-fail-io", "6.13", UBLK_FEATURE_REFUSED,
	  "with user-recovery: I/O fails while there is no server; not without user-recovery, "
	  "which "
	  "unprivileged devices cannot have" },
	{ UBLK_F_UPDATE_SIZE, "update-size", "6.16", UBLK_FEATURE_ALLOWED,
	  "a live device can change its size" },
	{ UBLK_F_AUTO_BUF_REG, "auto-buf-reg", "6.16", UBLK_FEATURE_REFUSED,
	  "zero copy without a command for each request; refused as zero-copy is" },
	{ UBLK_F_QUIESCE, "quiesce", "6.16", UBLK_FEATURE_REFUSED,
	  "a server can be replaced while the device lives; needs user-recovery" },
	{ UBLK_F_PER_IO_DAEMON, "per-io-daemon", "6.16", UBLK_FEATURE_IMPLIED,
	  "each request slot may have a thread of its own (not together with batch-io)" },
	{ UBLK_F_BUF_REG_OFF_DAEMON, "buf-reg-off-daemon", "6.17", UBLK_FEATURE_IMPLIED,
	  "zero copy's buffers may be registered by any thread" },
	{ UBLK_F_BATCH_IO, "batch-io", "7.0", UBLK_FEATURE_ALLOWED,
	  "many requests are fetched and committed by one command" },
	{ UBLK_F_INTEGRITY, "integrity", "7.0", UBLK_FEATURE_REFUSED,
	  "requests carry integrity metadata; needs user-copy" },
	{ UBLK_F_SAFE_STOP_DEV, "safe-stop-dev", "7.0", UBLK_FEATURE_IMPLIED,
	  "a device can be stopped on condition that nobody has it open" },
	{ UBLK_F_NO_AUTO_PART_SCAN, "no-auto-part-scan", "7.0", UBLK_FEATURE_ALLOWED,
	  "no partition scan when the device starts (unprivileged devices never get one)" },
	{ UBLK_F_SHMEM_ZC, "shmem-zc", "7.1", UBLK_FEATURE_ALLOWED,
	  "I/O from memory that client and server share is not copied" },
};

#define N_FEATURES (sizeof(features) / sizeof(features[0]))

const struct ublk_feature *ublk_features(size_t *n)
{
	*n = N_FEATURES;
	return features;
}

const struct ublk_feature *ublk_feature_by_name(const char *name)
{
	for (size_t i = 0; i < N_FEATURES; i++)
		if (strcmp(features[i].name, name) == 0)
			return &features[i];
	return NULL;
}

uint64_t ublk_features_allowed_unprivileged(void)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < N_FEATURES; i++)
		if (features[i].unprivileged == UBLK_FEATURE_ALLOWED)
			flags |= features[i].flag;
	return flags;
}
