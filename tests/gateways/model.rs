//! What stands behind the gateways: says yes to every request, and no to one that still bears a token.

use std::net::{Ipv4Addr, SocketAddr};

use actix_web::web::to;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

/// Serves for as long as the test program runs.
pub fn start() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let app = || App::new().default_service(to(answer));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server).unwrap();
    });
    address
}

async fn answer(request: HttpRequest) -> HttpResponse {
    if request.headers().contains_key("authorization") {
        return HttpResponse::InternalServerError().body("the gateway let a token through");
    }
    // Who it is, as the gateway says it.
    let mut told = String::from("scored\n");
    for (name, value) in request.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-wsts-")) {
        told.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or("?")));
    }
    HttpResponse::Ok().body(told)
}
