# SPDX-License-Identifier: LGPL-2.1-or-later
"""extract_vmlinux.py VMLINUZ OUT: the uncompressed kernel from a bzImage.

QEMU enters it by PVH at once; having the guest decompress it would cost half a second in each boot.
"""
import gzip
import lzma
import struct
import subprocess
import sys


def payload(image):
    """The compressed kernel: where the x86 boot protocol (2.08 and later) says that it is."""
    if image[0x202:0x206] != b'HdrS':
        raise ValueError('not a bzImage')
    setup_sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def decompress(data):
    if data.startswith(b'\xfd7zXZ\0'):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b'\x1f\x8b'):
        return gzip.decompress(data[:-4])
    if data.startswith(b'\x28\xb5\x2f\xfd'):
        # The last four bytes are the size, not part of the stream: zstd says so after it has written everything.
        return subprocess.run(['zstd', '-dcq'], input=data[:-4], stdout=subprocess.PIPE, check=True).stdout
    if data.startswith(b'\x7fELF'):
        return data
    raise ValueError('unknown compression %r' % data[:6])


with open(sys.argv[1], 'rb') as source:
    kernel = decompress(payload(source.read()))
if not kernel.startswith(b'\x7fELF'):
    sys.exit('no ELF kernel inside')
with open(sys.argv[2], 'wb') as target:
    target.write(kernel)
