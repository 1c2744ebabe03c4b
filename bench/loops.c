/* Loops of our own for bench/run.py: x87, vectors, matrices, memory. Prints a
 * checksum that must be the same natively and in a guest. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(const void* p, size_t n) {
  const unsigned char* b = p;
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < n; ++i) h = (h ^ b[i]) * 1099511628211u;
  return h;
}

static uint64_t x87(void) {
  long double sum = 0, x = 1;
  for (int i = 1; i < 12000000; ++i) {
    x = x * 1.0000001L + 0.5L / i;
    sum += x / (i + x);
    if (i % 16 == 0) sum -= __builtin_sqrtl(x);
  }
  unsigned char image[10];
  memcpy(image, &sum, 10);
  return hash(image, 10);
}

static uint64_t sse(void) {
  enum { N = 4096 };
  static float a[N], b[N], c[N];
  for (int i = 0; i < N; ++i) a[i] = (float)(i % 97) * 0.25f, b[i] = (float)(i % 31) + 0.5f, c[i] = 0;
  for (int r = 0; r < 60000; ++r)
    for (int i = 0; i < N; ++i) c[i] = c[i] * 0.75f + a[i] * b[i];
  return hash(c, sizeof c);
}

static uint64_t dgemm(void) {
  enum { N = 384 };
  static double a[N][N], b[N][N], c[N][N];
  for (int i = 0; i < N; ++i)
    for (int k = 0; k < N; ++k) a[i][k] = i * 0.5 - k, b[i][k] = k * 0.25 + i % 7;
  for (int r = 0; r < 12; ++r)
    for (int i = 0; i < N; ++i)
      for (int k = 0; k < N; ++k) {
        const double v = a[i][k];
        for (int j = 0; j < N; ++j) c[i][j] += v * b[k][j];
      }
  return hash(c, sizeof c);
}

static uint64_t copies(void) {
  enum { N = 1 << 20 };
  char *a = malloc(N + 64), *b = malloc(N + 64);
  for (int i = 0; i < N; ++i) a[i] = (char)(i * 7);
  for (int r = 0; r < 3000; ++r) memcpy(b + r % 64, a + r % 31, N - 64), memset(a + r % 5000, r, 4096);
  return hash(b, N);
}

static uint64_t sieve(void) {
  enum { N = 4000000 };
  static char composite[N];
  uint64_t count = 0;
  for (int r = 0; r < 8; ++r) {
    memset(composite, 0, N);
    for (int i = 2; i < N; ++i) {
      if (composite[i]) continue;
      ++count;
      for (long k = 2L * i; k < N; k += i) composite[k] = 1;
    }
  }
  return count;
}

static int compare(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return x < y ? -1 : x > y;
}
static uint64_t sorting(void) {
  enum { N = 400000 };
  static uint32_t v[N];
  uint64_t h = 0;
  uint32_t seed = 1;
  for (int r = 0; r < 6; ++r) {
    for (int i = 0; i < N; ++i) v[i] = seed = seed * 1664525 + 1013904223;
    qsort(v, N, sizeof *v, compare);
    h ^= hash(v, sizeof v);
  }
  return h;
}

int main(int argc, char** argv) {
  const struct { const char* name; uint64_t (*run)(void); } all[] = {
      {"x87", x87}, {"sse", sse}, {"dgemm", dgemm}, {"memcpy", copies}, {"sieve", sieve}, {"qsort", sorting}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
    if (argc > 1 && !strcmp(argv[1], all[i].name)) {
      printf("%s %016llx\n", all[i].name, (unsigned long long)all[i].run());
      return 0;
    }
  return 2;
}
