// MD5 (RFC 1321) of eight one-block messages at a time: a lane of a vector each. Plain vectors, which every processor has:
// a compiler makes two or four registers of one where they are shorter, whose steps then need not wait for each other.

#include "CKernels.h"

#include <string.h>

typedef uint32_t lanes __attribute__((vector_size(32), aligned(4)));

static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

#define STEP(mixed, a, b, word, sine, turn)                   \
    do {                                                      \
        lanes sum = (a) + (mixed) + words[word] + sines[sine]; \
        (a) = (sum << (turn) | sum >> (32 - (turn))) + (b);   \
    } while (0)

#define FOUR(f, at, w0, w1, w2, w3, s0, s1, s2, s3) \
    STEP(f(b, c, d), a, b, w0, at, s0);             \
    STEP(f(a, b, c), d, a, w1, (at) + 1, s1);       \
    STEP(f(d, a, b), c, d, w2, (at) + 2, s2);       \
    STEP(f(c, d, a), b, c, w3, (at) + 3, s3)

#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))

void ck_md5_first_words(const uint8_t *blocks, uint32_t *first_words) {
    lanes words[16];
    for (int word = 0; word < 16; word++)
        for (int lane = 0; lane < CK_MD5_LANES; lane++) {
            uint32_t bits;
            memcpy(&bits, blocks + 64 * lane + 4 * word, 4);
            words[word][lane] = bits;
        }
    lanes a = {0}, b = {0}, c = {0}, d = {0};
    a += 0x67452301;
    b += 0xefcdab89;
    c += 0x98badcfe;
    d += 0x10325476;
    FOUR(F, 0, 0, 1, 2, 3, 7, 12, 17, 22);
    FOUR(F, 4, 4, 5, 6, 7, 7, 12, 17, 22);
    FOUR(F, 8, 8, 9, 10, 11, 7, 12, 17, 22);
    FOUR(F, 12, 12, 13, 14, 15, 7, 12, 17, 22);
    FOUR(G, 16, 1, 6, 11, 0, 5, 9, 14, 20);
    FOUR(G, 20, 5, 10, 15, 4, 5, 9, 14, 20);
    FOUR(G, 24, 9, 14, 3, 8, 5, 9, 14, 20);
    FOUR(G, 28, 13, 2, 7, 12, 5, 9, 14, 20);
    FOUR(H, 32, 5, 8, 11, 14, 4, 11, 16, 23);
    FOUR(H, 36, 1, 4, 7, 10, 4, 11, 16, 23);
    FOUR(H, 40, 13, 0, 3, 6, 4, 11, 16, 23);
    FOUR(H, 44, 9, 12, 15, 2, 4, 11, 16, 23);
    FOUR(I, 48, 0, 7, 14, 5, 6, 10, 15, 21);
    FOUR(I, 52, 12, 3, 10, 1, 6, 10, 15, 21);
    FOUR(I, 56, 8, 15, 6, 13, 6, 10, 15, 21);
    FOUR(I, 60, 4, 11, 2, 9, 6, 10, 15, 21);
    a += 0x67452301;
    for (int lane = 0; lane < CK_MD5_LANES; lane++) first_words[lane] = a[lane];
}
