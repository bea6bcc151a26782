#include "stored.h"

#include <cstdint>
#include <fstream>
#include <stdexcept>

using ctranslate2::DataType;
using ctranslate2::StorageView;

namespace halkspeech {

namespace {

class Reader {
public:
    explicit Reader(const std::string& path) : file_(path, std::ios::binary) {}

    template <typename T>
    T number() {
        T value{};
        bytes(reinterpret_cast<char*>(&value), sizeof(T));
        return value;
    }

    std::string text() {
        std::string value(number<uint16_t>(), '\0');
        bytes(value.data(), value.size());
        while (!value.empty() && value.back() == '\0') value.pop_back();
        return value;
    }

    void bytes(char* to, size_t count) {
        if (!file_.read(to, static_cast<std::streamsize>(count))) throw std::runtime_error("model.bin cannot be read");
    }

    void skip(uint32_t count) { file_.seekg(count, std::ios::cur); }

private:
    std::ifstream file_;
};

}  // namespace

StorageView stored_variable(const std::string& folder, const std::string& wanted) {
    Reader file(folder + "/model.bin");
    if (file.number<uint32_t>() < 4) throw std::runtime_error("model.bin is of a version before 4");
    file.text();              // the specification
    file.number<uint32_t>();  // its revision
    for (auto left = file.number<uint32_t>(); left > 0; --left) {
        const std::string name = file.text();
        ctranslate2::Shape shape(file.number<uint8_t>());
        for (auto& dimension : shape) dimension = file.number<uint32_t>();
        const auto type = static_cast<DataType>(file.number<uint8_t>());
        const auto bytes = file.number<uint32_t>();
        if (name != wanted) {
            file.skip(bytes);
            continue;
        }
        StorageView variable(shape, type);
        if (variable.size() * variable.item_size() != bytes)
            throw std::runtime_error(name + " has another size than its shape");
        file.bytes(static_cast<char*>(variable.buffer()), bytes);
        return variable;
    }
    throw std::runtime_error("model.bin has no variable " + wanted);
}

}  // namespace halkspeech
