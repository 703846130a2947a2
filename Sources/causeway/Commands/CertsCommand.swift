import ArgumentParser
import CertificateAuthority

/// `causeway certs`: a site's own certificate authority.
struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs",
        abstract: "Make a site's certificate authority, and certificates for its servers, devices and bridges.",
        discussion: """
            Keys are ECDSA P-256, written with mode 0600. Nothing that is there is overwritten without --force. \
            certs/README.md says how to use an authority that exists.
            """,
        subcommands: [Initialize.self, Server.self, Device.self, Client.self, Renew.self, Show.self]
    )

    /// The folder everything is in.
    struct Folder: ParsableArguments {
        @Option(name: [.customShort("d"), .customLong("directory")], help: "The folder of the authority.")
        var directory = "certs"

        @Flag(help: "Replace files that are there.")
        var force = false

        /// Runs a body and turns the authority's errors into a line and exit code 1.
        func attempt(_ body: () throws -> Void) throws {
            do {
                try body()
            } catch let error as CertificateAuthorityError {
                let hint = error.code == .alreadyExists ? "; --force replaces it" : ""
                Output.problem("causeway certs: \(error)\(hint)")
                throw ExitCode.failure
            }
        }

        /// Makes a certificate for each name, into a folder below the authority's.
        func issue(
            _ names: [String],
            into kind: String,
            _ make: (CertificateAuthority, String) throws -> IssuedCertificate
        ) throws {
            try attempt {
                let authority = try CertificateAuthority(folder: directory)
                for name in names { try write(try make(authority, name), name: "\(kind)/\(name)") }
            }
        }

        /// Writes a certificate and its key below the folder, and says so.
        func write(_ issued: IssuedCertificate, name: String) throws {
            let base = "\(directory)/\(name)"
            try issued.write(certificate: "\(base).pem", key: "\(base).key", replacing: force)
            Certificates.print(issued.details, file: "\(base).pem")
            Output.line("  key     \(base).key (mode 0600)")
        }
    }

    /// `causeway certs init`.
    struct Initialize: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "init",
            abstract: "Make the authority: ca.pem and ca.key."
        )

        @OptionGroup var folder: Folder

        @Option(help: "Its name.")
        var name = "Causeway site CA"

        @Option(
            name: .customLong("domain"),
            help: "A domain it may sign for, with everything below; may be repeated. Without: any."
        )
        var domains: [String] = []

        @Option(help: "How many days it counts.")
        var days = CertificateValidity.authorityDays

        func validate() throws { try Certificates.check(days: days) }

        func run() throws {
            try folder.attempt {
                let authority = try CertificateAuthority.create(name: name, domains: domains, validity: .days(days))
                try authority.write(to: folder.directory, replacing: folder.force)
                Certificates.print(
                    authority.details,
                    file: "\(folder.directory)/\(CertificateAuthority.certificateFile)"
                )
                let key = "\(folder.directory)/\(CertificateAuthority.keyFile)"
                Output.line(
                    "  key     \(key) (mode 0600): whoever has it can make devices and servers. Keep it offline."
                )
            }
        }
    }

    /// `causeway certs server`.
    struct Server: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "server",
            abstract: "Make a certificate for a server: the certfile and keyfile of a listener."
        )

        @OptionGroup var folder: Folder

        @Argument(help: "Host names and addresses under which clients reach it, such as site.local 192.168.1.5.")
        var hosts: [String]

        @Option(help: "The name of the files.")
        var name = "site"

        @Flag(help: "Let it be shown as a client's certificate too, such as by the bridge of the same site.")
        var alsoClient = false

        @Option(help: "How many days it counts.")
        var days = CertificateValidity.serverDays

        func validate() throws {
            try Certificates.check(days: days)
            try Certificates.check(fileName: name)
        }

        func run() throws {
            try folder.attempt {
                let issued = try CertificateAuthority(folder: folder.directory)
                    .issueServer(hosts: hosts, name: name, alsoClient: alsoClient, validity: .days(days))
                try folder.write(issued, name: name)
            }
        }
    }

    /// `causeway certs device`.
    struct Device: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "device",
            abstract: "Make certificates for devices; the name becomes the user name with use_identity_as_username."
        )

        @OptionGroup var folder: Folder

        @Argument(help: "Names of devices, such as pump-17. The files go into the folder devices.")
        var names: [String]

        @Option(help: "How many days it counts.")
        var days = CertificateValidity.deviceDays

        func validate() throws {
            try Certificates.check(days: days)
            for name in names { try Certificates.check(fileName: name) }
        }

        func run() throws {
            try folder.issue(names, into: "devices") { authority, name in
                try authority.issueDevice(name: name, validity: .days(days))
            }
        }
    }

    /// `causeway certs client`.
    struct Client: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "client",
            abstract:
                "Make certificates for other clients: a site's bridge (named as the site), an aggregator, a person."
        )

        @OptionGroup var folder: Folder

        @Argument(help: "Names of clients, such as store-0042. The files go into the folder clients.")
        var names: [String]

        @Option(help: "How many days it counts.")
        var days = CertificateValidity.clientDays

        func validate() throws {
            try Certificates.check(days: days)
            for name in names { try Certificates.check(fileName: name) }
        }

        func run() throws {
            try folder.issue(names, into: "clients") { authority, name in
                try authority.issueClient(name: name, validity: .days(days))
            }
        }
    }

    /// `causeway certs renew`.
    struct Renew: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "renew",
            abstract: "Replace certificates by new ones with the same names and keys and a new lifetime."
        )

        @OptionGroup var folder: Folder

        @Argument(help: "Certificate files that this authority issued.")
        var files: [String]

        @Option(help: "How many days it counts. Without: as many as before.")
        var days: Int?

        func validate() throws {
            if let days { try Certificates.check(days: days) }
        }

        func run() throws {
            try folder.attempt {
                let authority = try CertificateAuthority(folder: folder.directory)
                for file in files {
                    let old = try Certificates.read(file)
                    let renewed = try authority.renew(certificatePEM: old, validity: days.map { .days($0) })
                    // A renewal is a replacement by its nature; there is no key to lose.
                    try renewed.write(certificate: file, key: file, replacing: true)
                    Certificates.print(renewed.details, file: file)
                }
            }
        }
    }

    /// `causeway certs show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Print what certificates say and how long they count."
        )

        @Argument(help: "Certificate files.")
        var files: [String]

        func run() throws {
            for file in files {
                do {
                    Certificates.print(try CertificateDetails(pem: try Certificates.read(file)), file: file)
                } catch let error as CertificateAuthorityError {
                    Output.problem("causeway certs: \(file): \(error)")
                    throw ExitCode.failure
                }
            }
        }
    }
}
