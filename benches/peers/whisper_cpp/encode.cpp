// whisper.cpp's encoder: peer-whisper-cpp THREADS MODEL BINS MEL OUT
//
// Its interface has no way to the encoder's output, which shows whether the numbers are right; so
// its source is part of this one.
#include "whisper.cpp"

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace {

constexpr int WARM_UP = 3;

std::vector<float> read_floats(const char * path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    std::vector<float> values(bytes.size() / sizeof(float));
    memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
}

void write_output(const whisper_context & ctx, const char * path) {
    const ggml_tensor * output = ctx.state->embd_enc;
    std::vector<char> bytes(ggml_nbytes(output));
    ggml_backend_tensor_get(output, bytes.data(), 0, bytes.size());
    std::ofstream(path, std::ios::binary).write(bytes.data(), (std::streamsize) bytes.size());
}

}  // namespace

int main(int argc, char ** argv) {
    if (argc != 6) {
        std::cerr << "usage: peer-whisper-cpp THREADS MODEL BINS MEL OUT\n";
        return 2;
    }
    const int threads = std::stoi(argv[1]);
    const int bins = std::stoi(argv[3]);
    const std::vector<float> mel = read_floats(argv[4]);

    whisper_context_params params = whisper_context_default_params();
    params.use_gpu = false;
    whisper_context * ctx = whisper_init_from_file_with_params(argv[2], params);
    if (ctx == nullptr || whisper_set_mel(ctx, mel.data(), (int) mel.size() / bins, bins) != 0) {
        return 1;
    }
    for (int i = 0; i < WARM_UP; ++i) {
        if (whisper_encode(ctx, 0, threads) != 0) {
            return 1;
        }
    }
    write_output(*ctx, argv[5]);
    std::cout << "{\"version\": \"whisper.cpp " WHISPER_VERSION "\"}" << std::endl;

    for (std::string line; std::getline(std::cin, line);) {
        const int runs = std::stoi(line.substr(line.find(' ')));
        std::cout << "{\"ms\": [";
        for (int i = 0; i < runs; ++i) {
            const auto start = std::chrono::steady_clock::now();
            whisper_encode(ctx, 0, threads);
            const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
            std::cout << (i == 0 ? "" : ", ") << took.count();
        }
        std::cout << "]}" << std::endl;
    }
    whisper_free(ctx);
}
