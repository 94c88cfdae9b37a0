/* main() of a fuzz target that is not linked with libFuzzer: gives it each file named, and each file in the directories
 * named, so that the corpus runs with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, cap = 0;

    if (!f) {
        perror(path);
        return -1;
    }
    do {
        if (size == cap) {
            uint8_t *more = realloc(data, cap = cap ? 2 * cap : 4096);
            if (!more) abort();
            data = more;
        }
        size += fread(data + size, 1, cap - size, f);
    } while (size == cap);
    fclose(f);
    /* An exact copy, so that a sanitizer sees a read beyond the end. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    for (size_t i = 0; i < size; i++) exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    return 0;
}

static int replay_directory(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int bad = 0;

    if (!d) {
        perror(path);
        return -1;
    }
    while ((e = readdir(d)) != NULL) {
        char file[4096];
        if (e->d_name[0] == '.') continue;
        if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) < (int)sizeof(file) && replay_file(file)) bad = -1;
    }
    closedir(d);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) bad |= replay_directory(argv[i]);
        else bad |= replay_file(argv[i]);
    }
    return bad ? 1 : 0;
}
