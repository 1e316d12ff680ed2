/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every name that crosses the bus, in one place. The interfaces themselves, with their
 * documentation, are in org.ublk1.Manager.xml and org.ublk1.Device.xml.
 */
#pragma once

#define UBLK_BUS_NAME              "org.ublk1"
#define UBLK_BUS_ROOT              "/org/ublk1"
#define UBLK_BUS_MANAGER_PATH      UBLK_BUS_ROOT "/Manager"
#define UBLK_BUS_DEVICES           UBLK_BUS_ROOT "/devices"
#define UBLK_BUS_MANAGER_INTERFACE "org.ublk1.Manager"
#define UBLK_BUS_DEVICE_INTERFACE  "org.ublk1.Device"

/* Errors. */
#define UBLK_BUS_ERROR                  "org.ublk1.Error."
#define UBLK_BUS_ERROR_INVALID_ARGUMENT UBLK_BUS_ERROR "InvalidArgument"
#define UBLK_BUS_ERROR_NOT_FOUND        UBLK_BUS_ERROR "NotFound"
#define UBLK_BUS_ERROR_EXISTS           UBLK_BUS_ERROR "Exists"
#define UBLK_BUS_ERROR_BUSY             UBLK_BUS_ERROR "Busy"
#define UBLK_BUS_ERROR_INVALID_STATE    UBLK_BUS_ERROR "InvalidState"
#define UBLK_BUS_ERROR_LIMIT_EXCEEDED   UBLK_BUS_ERROR "LimitExceeded"
#define UBLK_BUS_ERROR_NOT_SUPPORTED    UBLK_BUS_ERROR "NotSupported"
#define UBLK_BUS_ERROR_TIMED_OUT        UBLK_BUS_ERROR "TimedOut"
#define UBLK_BUS_ERROR_KERNEL           UBLK_BUS_ERROR "Kernel"
#define UBLK_BUS_ERROR_ACCESS_DENIED    "org.freedesktop.DBus.Error.AccessDenied"
#define UBLK_BUS_ERROR_INTERACTIVE      "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

/* In the message of an error: the same call would be answered otherwise if it let polkit ask. */
#define UBLK_BUS_TEXT_MAY_NOT_ASK "which this call does not allow to ask for"

/* polkit's actions. */
#define UBLK_ACTION_CREATE        "org.ublk1.create"
#define UBLK_ACTION_CREATE_BEYOND "org.ublk1.create-beyond-limits"
#define UBLK_ACTION_MANAGE_OWN    "org.ublk1.manage-own"
#define UBLK_ACTION_MANAGE_OTHERS "org.ublk1.manage-others"
#define UBLK_ACTION_RELOAD        "org.ublk1.reload"

/* The states of a device (org.ublk1.Device.State). */
#define UBLK_STATE_CREATED  "created"
#define UBLK_STATE_STARTING "starting"
#define UBLK_STATE_LIVE     "live"
#define UBLK_STATE_QUIESCED "quiesced"
#define UBLK_STATE_STOPPING "stopping"
#define UBLK_STATE_DEAD     "dead"

/*
 * What AddDevice's "target" may be: name, whether it is over a file (else it needs "size"), and
 * what it is.
 */
#define UBLK_TARGETS(TARGET)                        \
	TARGET("loop", 1, "a file or block device") \
	TARGET("null", 0, "no data at all")

/* Keys of option dictionaries; who takes which is said in the interfaces. */
#define UBLK_OPT_NAME                  "name"
#define UBLK_OPT_ID                    "id"
#define UBLK_OPT_QUEUES                "queues"
#define UBLK_OPT_DEPTH                 "depth"
#define UBLK_OPT_MAX_IO_SIZE           "max-io-size"
#define UBLK_OPT_NEED_GET_DATA         "need-get-data"
#define UBLK_OPT_FILE                  "file"
#define UBLK_OPT_SIZE                  "size"
#define UBLK_OPT_READ_ONLY             "read-only"
#define UBLK_OPT_DIRECT                "direct"
#define UBLK_OPT_LOGICAL_BLOCK_SIZE    "logical-block-size"
#define UBLK_OPT_PHYSICAL_BLOCK_SIZE   "physical-block-size"
#define UBLK_OPT_IO_MIN                "io-min"
#define UBLK_OPT_IO_OPT                "io-opt"
#define UBLK_OPT_ROTATIONAL            "rotational"
#define UBLK_OPT_VOLATILE_CACHE        "volatile-cache"
#define UBLK_OPT_FUA                   "fua"
#define UBLK_OPT_DISCARD_SIZE          "max-discard-size"
#define UBLK_OPT_DISCARD_GRANULARITY   "discard-granularity"
#define UBLK_OPT_DISCARD_ALIGNMENT     "discard-alignment"
#define UBLK_OPT_WRITE_ZEROES_SIZE     "max-write-zeroes-size"
#define UBLK_OPT_DMA_ALIGNMENT         "dma-alignment"
#define UBLK_OPT_CHUNK_SIZE            "chunk-size"
#define UBLK_OPT_VIRT_BOUNDARY_MASK    "virt-boundary-mask"
#define UBLK_OPT_MAX_SEGMENTS          "max-segments"
#define UBLK_OPT_MAX_SEGMENT_SIZE      "max-segment-size"
#define UBLK_OPT_SEGMENT_BOUNDARY_MASK "segment-boundary-mask"
#define UBLK_OPT_REPORT                "report"
#define UBLK_OPT_SERVER                "server"
#define UBLK_OPT_OWNER                 "owner"
#define UBLK_OPT_BACKED                "backed"
#define UBLK_OPT_SHARED_MEMORY         "shared-memory"
#define UBLK_OPT_KEEP                  "keep"
#define UBLK_OPT_CREATED_AT            "created-at"
/* Arguments of RegisterBuffer and UnregisterBuffer, which ublkd treats like options. */
#define UBLK_OPT_MEMORY "memory"
#define UBLK_OPT_INDEX  "index"

/* Names of devices: 1 to this many of these, the first a letter or a digit. */
#define UBLK_NAME_MAX        64
#define UBLK_NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
