public import Access
public import SiteServer

// Access knows nothing of the server that it serves; here the two meet.

extension ListenerAuthenticator: Authenticator {}
extension DynamicSecurity: ControlPlane {}
