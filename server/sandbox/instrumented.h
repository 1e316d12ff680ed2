/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is this a build for tests whose runtime has files, threads and processes of its own? */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(UBLK_COVERAGE)
#undef INSTRUMENTED
#define INSTRUMENTED 1
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif
