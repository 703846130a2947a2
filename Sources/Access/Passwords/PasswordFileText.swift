/// The text of a password file while it is edited: what is not changed stays as it was, comments and order included.
public struct PasswordFileText: Sendable {
    /// What somebody may be called in a password file.
    static let nameBytesMax = 65_535

    private var lines: [String]

    /// Takes the text of a file; every line of it must be right, or an edit could hide what is wrong.
    ///
    /// - Throws: ``AccessError`` with file and line.
    public init(text: String, path: String) throws {
        _ = try PasswordFile(text: text, path: path, allowsEmpty: true)
        lines = PasswordFileLine.lines(of: text).map { String($0.text) }
        if lines.last?.isEmpty == true { lines.removeLast() }
    }

    /// The text to write.
    public var text: String { lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n" }

    /// The users with the kinds of their hashes, in the file's order.
    public var users: [(name: String, kind: String)] {
        lines.compactMap { line in
            guard let name = Self.name(in: line), let hash = Self.hash(in: line) else { return nil }
            return (name, hash.kindName)
        }
    }

    /// The hash of a user.
    public func hash(of name: String) -> PasswordHash? {
        lines.first { Self.isName(name, in: $0) }.flatMap(Self.hash(in:))
    }

    /// Adds a user, or sets the password of one that is there.
    ///
    /// - Throws: ``AccessError`` if nobody can be called that in such a file.
    public mutating func set(_ name: String, _ hash: PasswordHash) throws {
        guard !name.isEmpty, name.utf8.count <= Self.nameBytesMax, !name.hasPrefix("#"),
            !name.unicodeScalars.contains(where: { $0 == ":" || $0.value < 0x20 || $0.value == 0x7F })
        else {
            throw AccessError(.passwordFile, "A user name has no colon and no control character, and begins without #")
        }
        let line = "\(name):\(hash.text)"
        if let index = lines.firstIndex(where: { Self.isName(name, in: $0) }) {
            lines[index] = line
        } else {
            lines.append(line)
        }
    }

    /// Removes a user.
    ///
    /// - Returns: Whether it was there.
    public mutating func remove(_ name: String) -> Bool {
        guard let index = lines.firstIndex(where: { Self.isName(name, in: $0) }) else { return false }
        lines.remove(at: index)
        return true
    }

    private static func name(in line: String) -> String? {
        PasswordFileLine(number: 0, text: line[...]).name.map(String.init)
    }

    private static func isName(_ name: String, in line: String) -> Bool {
        self.name(in: line)?.utf8.elementsEqual(name.utf8) ?? false
    }

    private static func hash(in line: String) -> PasswordHash? {
        guard let name = PasswordFileLine(number: 0, text: line[...]).name else { return nil }
        return PasswordHash(parsing: line[name.endIndex...].dropFirst())
    }
}
