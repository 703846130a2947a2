import Foundation

/// One text file of the repository, with its path relative to the root.
struct SourceFile: Sendable {
    let path: String
    let text: String

    /// The lines without their line ends. A final line end does not make one more line.
    var lines: [Substring] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    /// The target a file under `Sources/` or `Tests/` belongs to.
    var target: String? {
        let parts = path.split(separator: "/")
        guard parts.count > 2, parts[0] == "Sources" || parts[0] == "Tests" else { return nil }
        return String(parts[1])
    }
}

/// What a check found, in the form editors jump to.
struct Finding: CustomStringConvertible, Equatable, Sendable {
    let path: String
    let line: Int
    let message: String

    var description: String { "\(path):\(line): \(message)" }
}

/// The repository this test was compiled from.
struct SourceTree: Sendable {
    let root: URL

    /// The tree above this very file.
    static let current = SourceTree(
        root: URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    )

    /// Folders that hold nothing anybody wrote.
    static let skippedFolders: Set<String> = [".build", ".git", ".swiftpm", "node_modules", "__pycache__", ".venv"]

    /// The relative paths of all regular files below a folder, sorted. What is behind a link is read where it lies.
    func paths(under folder: String = "") -> [String] {
        let base = folder.isEmpty ? root : root.appendingPathComponent(folder)
        var found: [String] = []
        var pending = [base]
        while let next = pending.popLast() {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: next.path)) ?? []
            for name in names where !Self.skippedFolders.contains(name) {
                let url = next.appendingPathComponent(name)
                var isFolder: ObjCBool = false
                guard (try? FileManager.default.destinationOfSymbolicLink(atPath: url.path)) == nil,
                    FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
                else { continue }
                if isFolder.boolValue {
                    pending.append(url)
                } else {
                    found.append(String(url.path.dropFirst(root.path.count + 1)))
                }
            }
        }
        return found.sorted()
    }

    /// Reads a file as UTF-8; binary files come back as nil.
    func file(_ path: String) -> SourceFile? {
        guard let data = FileManager.default.contents(atPath: root.appendingPathComponent(path).path),
            let text = String(data: data, encoding: .utf8)
        else { return nil }
        return SourceFile(path: path, text: text)
    }

    func files(under folder: String, suffix: String) -> [SourceFile] {
        paths(under: folder).filter { $0.hasSuffix(suffix) }.compactMap { file($0) }
    }

    func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    /// What git tracks or would add; the whole tree where there is no git (an unpacked archive, an image build).
    func versionedPaths() -> [String] {
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = ["git", "-C", root.path, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        let output = Pipe()
        git.standardOutput = output
        git.standardError = FileHandle.nullDevice
        git.standardInput = FileHandle.nullDevice
        guard (try? git.run()) != nil else { return paths() }
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        git.waitUntilExit()
        guard git.terminationStatus == 0 else { return paths() }
        return bytes.split(separator: 0).compactMap { String(data: Data($0), encoding: .utf8) }.sorted()
    }
}
