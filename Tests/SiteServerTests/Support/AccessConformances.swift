import Access
import SiteServer

extension ListenerAuthenticator: Authenticator {}
