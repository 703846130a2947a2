internal import Glibc

/// Where the text of a mosquitto.conf and of what it includes comes from.
public struct MosquittoSources: Sendable {
    /// Why a file cannot be read.
    public struct Failure: Error, Sendable, Hashable {
        /// In words.
        public var reason: String

        /// Makes a failure.
        public init(_ reason: String) {
            self.reason = reason
        }
    }

    /// The largest file that is read.
    public static let fileBytesMax = 16 << 20
    /// The most files that one `include_dir` may hold.
    public static let includedFilesMax = 1_000

    /// The content of a file.
    public var read: @Sendable (String) -> Result<[UInt8], Failure>
    /// The names in a folder, in any order.
    public var list: @Sendable (String) -> Result<[String], Failure>

    /// Makes sources, such as texts for a test.
    public init(
        read: @escaping @Sendable (String) -> Result<[UInt8], Failure>,
        list: @escaping @Sendable (String) -> Result<[String], Failure>
    ) {
        self.read = read
        self.list = list
    }

    /// The files of this machine. Blocks on the disk.
    public static let disk = MosquittoSources(read: content(of:), list: names(in:))

    private static func content(of path: String) -> Result<[UInt8], Failure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(Failure(reason(errno))) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .failure(Failure(reason(errno))) }
        guard status.st_mode & S_IFMT != S_IFDIR else { return .failure(Failure("it is a directory")) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == -1, errno == EINTR { continue }
            guard count >= 0 else { return .failure(Failure(reason(errno))) }
            guard count > 0 else { return .success(bytes) }
            bytes += chunk.prefix(count)
            guard bytes.count <= fileBytesMax else { return .failure(Failure("it is larger than 16 MiB")) }
        }
    }

    private static func names(in folder: String) -> Result<[String], Failure> {
        guard let directory = opendir(folder) else { return .failure(Failure(reason(errno))) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append(name)
            guard names.count <= includedFilesMax * 10 else { break }
        }
        return .success(names)
    }

    private static func reason(_ code: Int32) -> String {
        code == ENOENT ? "there is no such file" : String(cString: strerror(code))
    }
}
