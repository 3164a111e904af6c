/* Reads 16-bit mono audio at 8 kHz from stdin, feeds spandsp's DTMF receiver in blocks of argv[1] samples and prints
 * "digit samples-fed" for each digit, then "ns" and nanoseconds a sample: the least of argv[2] passes. */
#include <spandsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    int feed = argc > 1 ? atoi(argv[1]) : 80;
    size_t room = 1 << 20, count = 0, got;
    int16_t *audio = malloc(room * sizeof *audio);
    while ((got = fread(audio + count, sizeof *audio, room - count, stdin)) > 0) {
        count += got;
        if (count == room)
            audio = realloc(audio, (room *= 2) * sizeof *audio);
    }
    int passes = argc > 2 ? atoi(argv[2]) : 1;
    dtmf_rx_state_t *receiver = dtmf_rx_init(NULL, NULL, NULL);
    double least = 1e18;
    for (int pass = 0; pass < passes; pass++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (size_t at = 0; at < count; at += feed) {
            int length = count - at < (size_t)feed ? (int)(count - at) : feed;
            char digits[128];
            dtmf_rx(receiver, audio + at, length);
            size_t heard = dtmf_rx_get(receiver, digits, 127);
            for (size_t n = 0; pass == 0 && n < heard; n++)
                printf("%c %zu\n", digits[n], at + length);
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        double ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
        least = ns < least ? ns : least;
    }
    printf("ns %.3f\n", least / (count ? count : 1));
    return 0;
}
