import Access
public import ArgumentParser
import Foundation

/// `causeway user`: password files, also those of mosquitto_passwd.
struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Make password files, and change who stands in them.",
        discussion: """
            A file holds one user a line and is written with mode 0600, whole or not at all; comments and lines of other \
            users stay as they are. Passwords are asked for without being shown; where the standard input is no terminal, \
            its first line is the password.
            """,
        subcommands: [Add.self, Passwd.self, Delete.self, List.self, Check.self]
    )

    /// The shortest password that is taken without --force, in characters.
    static let charactersMin = 12

    /// The password file.
    struct File: ParsableArguments {
        @Argument(help: "The password file.")
        var path: String

        /// The file's text; that of an empty one if there is none and it may be made.
        func read(makesMissing: Bool = false) throws -> PasswordFileText {
            guard FileManager.default.fileExists(atPath: path) || !makesMissing else {
                return try PasswordFileText(text: "", path: path)
            }
            let text: String
            do {
                text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
            } catch {
                throw StartFailure("\(path) cannot be read")
            }
            return try PasswordFileText(text: text, path: path)
        }

        /// Replaces the file.
        func write(_ file: PasswordFileText) throws { try SecretFileWriter.write(file.text, to: path) }

        /// Runs a body and turns its errors into a line and exit code 1.
        func attempt(_ body: () throws -> Void) throws {
            do {
                try body()
            } catch let exit as ExitCode {
                throw exit
            } catch {
                Output.problem("causeway user: \(error)")
                throw ExitCode.failure
            }
        }
    }

    /// How a password is taken and stored.
    struct Password: ParsableArguments {
        @Option(
            name: [.customShort("b"), .customLong("batch")],
            help: "The password. Others see it in the list of processes; the standard input is better."
        )
        var batch: String?

        @Option(help: "scrypt (the default), sha512-pbkdf2 (Mosquitto reads it too) or scram-sha-256.")
        var kind = PasswordHash.Kind.scrypt

        @Flag(help: "Take a password of fewer than 12 characters.")
        var force = false

        /// The hash of the password that is given or asked for.
        func hash() throws -> PasswordHash {
            let password = try batch ?? PasswordPrompt.ask("Password: ", isRepeated: true)
            guard force || password.count >= UserCommand.charactersMin else {
                throw StartFailure(
                    "A password has at least \(UserCommand.charactersMin) characters; --force takes a shorter one"
                )
            }
            return try PasswordHash(password: Array(password.utf8), kind: kind)
        }
    }

    /// `causeway user add`.
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Add a user; make the file if there is none."
        )

        @OptionGroup var file: File
        @Argument(help: "The user name.") var name: String
        @OptionGroup var password: Password

        func run() throws {
            try file.attempt {
                var text = try file.read(makesMissing: true)
                guard text.hash(of: name) == nil else {
                    throw StartFailure("This user is there; `causeway user passwd` sets another password")
                }
                try text.set(name, try password.hash())
                try file.write(text)
            }
        }
    }

    /// `causeway user passwd`.
    struct Passwd: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "passwd",
            abstract: "Set a user's password, and with it the kind of its hash."
        )

        @OptionGroup var file: File
        @Argument(help: "The user name.") var name: String
        @OptionGroup var password: Password

        func run() throws {
            try file.attempt {
                var text = try file.read()
                guard text.hash(of: name) != nil else { throw StartFailure("There is no such user in \(file.path)") }
                try text.set(name, try password.hash())
                try file.write(text)
            }
        }
    }

    /// `causeway user delete`.
    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "delete", abstract: "Remove a user.")

        @OptionGroup var file: File
        @Argument(help: "The user name.") var name: String

        func run() throws {
            try file.attempt {
                var text = try file.read()
                guard text.remove(name) else { throw StartFailure("There is no such user in \(file.path)") }
                try file.write(text)
            }
        }
    }

    /// `causeway user list`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "Show the users and the kinds of their hashes."
        )

        @OptionGroup var file: File

        func run() throws {
            try file.attempt {
                for user in try file.read().users { Output.line("\(user.name)\t\(user.kind)") }
            }
        }
    }

    /// `causeway user check`.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Check a file, or a user's password; the status is 0 if it is right.",
            discussion: """
                With --upgrade a right password of an older kind is stored anew as --kind: the one moment at which it is \
                known.
                """
        )

        @OptionGroup var file: File
        @Argument(help: "The user name; without one the file alone is checked.") var name: String?

        @Option(name: [.customShort("b"), .customLong("batch")], help: "The password; see `causeway user add`.")
        var batch: String?

        @Flag(help: "Store a right password anew.") var upgrade = false

        @Option(help: "The kind that --upgrade stores.") var kind = PasswordHash.Kind.scrypt

        func run() throws {
            try file.attempt {
                var text = try file.read()
                guard let name else {
                    Output.line("\(file.path): \(text.users.count) users")
                    return
                }
                let password = Array(try (batch ?? PasswordPrompt.ask("Password: ", isRepeated: false)).utf8)
                guard let hash = text.hash(of: name), hash.matches(password) else {
                    throw StartFailure("The user name or the password is wrong")
                }
                Output.line("right")
                guard upgrade, hash.kindName != kind.rawValue else { return }
                try text.set(name, try PasswordHash(password: password, kind: kind))
                try file.write(text)
                Output.line("stored as \(kind.rawValue)")
            }
        }
    }
}

extension PasswordHash.Kind: ExpressibleByArgument {}
