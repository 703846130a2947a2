import Access
import Broker
import CausewayConfiguration
import SiteServer

/// The door of a site: that of Access, and what Mosquitto's configuration adds to it.
struct SiteDoor: Authenticator {
    private let door: ListenerAuthenticator
    /// Listeners where nobody has a password and a name counts all the same, as in Mosquitto: its ACL file may know it.
    private let trusting: Set<String>

    init(_ configuration: SiteConfiguration, doors: [String?: AuthenticationSet]) {
        var own: [String: AuthenticationSet] = [:]
        for case (let listener?, let set) in doors { own[listener] = set }
        door = ListenerAuthenticator(doors[nil] ?? AuthenticationSet(), listeners: own)
        let isMosquitto = configuration.compatibility == .mosquitto
        let open = configuration.listeners.filter { doors[$0.name] == nil && doors[nil] == nil }
        trusting = isMosquitto ? Set(open.map(\.name)) : []
    }

    func authenticate(
        _ request: AuthenticationRequest,
        completion: @escaping @Sendable (AuthenticationResult) -> Void
    ) {
        let info = request.info
        if request.username != nil, request.method == nil, info.allowAnonymous, !info.useIdentityAsUsername,
            trusting.contains(info.listener)
        {
            completion(.accepted(username: request.username))
            return
        }
        door.authenticate(request, completion: completion)
    }
}
