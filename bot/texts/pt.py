"""The bot's texts in Portuguese."""

from bot.texts.wording import Wording

_TO_AGREE = "/optin no grupo, ou o administrador escreve yes no roster"

PT = Wording(
    what_it_does=(
        "Aprendi como escrevem os amigos de um grupo e respondo com as vozes deles. "
        "O que digo começa com 🎭 e um nome; ninguém com esse nome o escreveu."
    ),
    how_to=(
        "/as Hugo: respondo ao que foi dito por último como o Hugo faria\n"
        "/as Hugo e sexta-feira? diz isso ao Hugo, e respondo como ele\n"
        "/as Hugo: bem, eu (com dois pontos): o que digo como Hugo começa com estas palavras\n"
        "/as alguém: quem tiver mais a dizer\n"
        "/as: escolher uma voz\n"
        "Responde a algo que eu disse com uma voz, e essa voz continua.\n"
        "/simulate 5: os amigos falam entre si, cinco vezes, vinte no máximo\n"
        "/simulate Hugo, Ana sobre a viagem: estes dois, sobre isso\n"
        "/stop: param\n"
        "/voices: com que vozes sei falar\n"
        "/guess: quem disse isto, um amigo ou a máquina? /guess pontos: quem sabe mais\n"
        "/optin, /optout: se posso falar com a tua voz\n"
        "/forget: em resposta a uma mensagem, para a esquecer; /forget all\n"
        "/privacy: o que guardo, e por quanto tempo\n"
        "/help: este texto"
    ),
    voices_here="As vozes aqui: {names}.",
    stranger_group=(
        "Olá! Só respondo em grupos onde o meu administrador me pôs, por isso vou sair. "
        "Sem ressentimentos."
    ),
    no_admin_yet=(
        "Olá! Ainda não tenho administrador, por isso vou sair. Se és tu que me corres, escreve-me "
        "/start em privado: digo-te a linha que te faz administrador. Depois volta a pôr-me."
    ),
    no_channels="Respondo em grupos, não em canais, por isso saí do canal onde me puseste.",
    silent_here=(
        "Aprendi a falar com as mensagens de outro grupo, por isso aqui fico calado. "
        "Pertencem a quem as escreveu."
    ),
    authorised_here="Olá! Estou em casa, e /help diz o que sei fazer. {voices}",
    may_be_allowed=(
        "Aprendi a falar com o grupo “{chats}”, por isso aqui fico calado: o que digo pode vir de "
        "lá. Se essas pessoas concordarem, um administrador meu pode deixar-me falar com /allow."
    ),
    allowed_here="Está bem, aqui também falo, embora tenha aprendido com “{chats}”.",
    for_admins="Isso é para os meus administradores.",
    only_in_groups="Envia isso no grupo em causa.",
    admins_only_here=(
        "Falo com os meus amigos no grupo deles e, em privado, só com os meus administradores. "
        "Podes enviar-me /start, /help, /privacy, /optin, /optout e /forget all."
    ),
    privacy_is_on=(
        "O modo de privacidade está ligado: nos grupos o bot só ouve comandos e respostas a ele, "
        "a não ser que seja administrador. Desliga-o no @BotFather (/setprivacy), depois tira o "
        "bot do grupo e volta a pô-lo."
    ),
    privacy_hint=(
        "(O modo de privacidade está ligado: só ouvi o teu comando e não a conversa antes dele. "
        "Um administrador do grupo pode resolver: faz-me administrador, ou vê @BotFather, "
        "/setprivacy.)"
    ),
    learned_from=", com {lines:,} mensagens",
    have_not_agreed=(
        "Não concordaram, por isso não falo com a voz deles: {names}. "
        f"Para concordar: {_TO_AGREE}."
    ),
    heard_too_little="Escreveram muito pouco para eu aprender: {names}.",
    choose_voice="Com que voz?",
    no_voices=(
        "Ainda ninguém concordou em ser imitado, por isso não tenho voz nenhuma. "
        f"Quem quiser: {_TO_AGREE}."
    ),
    several_fit="Não sei bem de quem falas. Um destes?",
    several_have_it="Vários amigos têm esse nome. De quem falas?",
    unknown_voice="Não conheço ninguém com esse nome. {there_is}",
    there_is="Há {names}.",
    did_you_mean="Não conheço ninguém com esse nome. Querias dizer {name}?",
    not_agreed=f"{{name}} não concordou em ser imitado. Para concordar: {_TO_AGREE}.",
    said_no="{name} não quer ser imitado, por isso não o faço.",
    too_quiet="Ouvi {name} muito pouco para saber como fala.",
    speechless="Não me lembrei de nada que {name} dissesse a isso. Tentas outra vez?",
    not_to_begin_with=(
        "Não começo com isso. No máximo {most} caracteres, numa linha, sem parênteses retos, "
        "dados privados, nem um nome com dois pontos."
    ),
    queued="Um momento: estou ocupado com outras respostas, e a tua vem a seguir.",
    queue_too_long=(
        "Tenho demasiadas respostas a dar e não cheguei à tua, desculpa. Tentas mais tarde?"
    ),
    too_slow="Demorei demasiado, desculpa. Tentas outra vez?",
    one_moment="Um momento, ainda estou ocupado com o que pediste antes.",
    too_old="Esta pergunta é demasiado antiga. Envia /as outra vez.",
    failed="Algo correu mal do meu lado, desculpa. Tenta daqui a pouco.",
    already_on="Já estão a falar. Deixa-os acabar, ou envia /stop.",
    turns_wanted="Quantas vezes? Escreve um número de 1 a {most}, como /simulate {usual}.",
    nothing_to_say="Não têm nada a dizer a isso. Diz algo e tenta outra vez.",
    chatty_is="Meto-me na conversa ao nível {level} de 100; a 0 nunca. /quiet cala-me.",
    chatty_wanted="Com que frequência? Escreve um número de 0 (nunca) a 100, como /chatty 30.",
    chatty_unknown=(
        "Esta versão do modelo não aprendeu quando as pessoas se respondem, por isso não me posso "
        "meter sozinho. Treina outra vez."
    ),
    for_group_admins="Isso é para os administradores deste grupo.",
    quiet_for="Não me meto na conversa durante {hours} horas.",
    quiet_no_more="Já me posso meter outra vez.",
    quiet_wanted="Por quanto tempo? Como /quiet 8h, /quiet 30m, /quiet 2d; /quiet off acaba.",
    why=(
        "Disse isso com a voz de {voice}, com a versão {version} do modelo, depois das {sources} "
        "mensagens antes."
    ),
    why_what="Responde com /why a algo que eu disse com uma voz.",
    only_a_voice="{name} não enviou isto: fui eu, com a voz de {name}.",
    who_said_it="Quem disse isto?\n\n“{text}”",
    the_machine="a máquina 🎭",
    it_was_the_machine="Foi a máquina que inventou, na voz de {name}.",
    it_was_a_friend="Quem o escreveu foi {name}, em {date}.",
    nothing_to_guess=(
        "Não tenho nada que perguntar: não me lembro aqui de nenhuma frase com tamanho suficiente, "
        "de alguém que concordou em ser imitado. Conversem um pouco e tentem outra vez."
    ),
    no_polls_here="Não consegui enviar a pergunta. Posso enviar sondagens aqui?",
    score="Quem conhece quem:\n{people}",
    score_of_one="{name}: {right} de {total}",
    score_of_the_machine=(
        "As frases da máquina passaram por frases de um amigo em {fooled} de {total} respostas."
    ),
    no_score="Ainda ninguém adivinhou. Envia /guess.",
    as_yourself=(
        "Não sei quem és quando escreves como o grupo ou como um canal. Escreve-o em teu nome; em "
        "privado também ouço."
    ),
    agreed="Obrigado, {name}. Já posso falar com a tua voz; /optout acaba com isso.",
    agreed_unknown=(
        "Obrigado, anotei o teu sim. Mas não és um dos amigos com quem aprendi, por isso não tenho "
        "a tua voz. Conta a partir de quando a aprender."
    ),
    agreed_too_quiet=(
        "Obrigado, {name}, anotei o teu sim. Mas ouvi-te muito pouco para saber como falas."
    ),
    agreed_against_roster=(
        "Obrigado, {name}, anotei o teu sim. Mas quem me gere escreveu um não para ti, e fico "
        "calado até o mudarem."
    ),
    agreed_elsewhere_not=(
        "Obrigado, {name}, anotei o teu sim. Mas outra conta tua disse /optout, e fico calado até "
        "ela dizer /optin."
    ),
    withdrawn=(
        "Nunca mais falo com a tua voz, a não ser que digas /optin. Apaguei o que guardava de ti: "
        "{count} mensagens. As cópias feitas antes, e o que aprendi antes, ainda "
        "duram algum tempo: vê /privacy."
    ),
    how_to_forget=(
        "Responde com /forget ao que devo esquecer: uma mensagem tua, ou algo que eu disse com a "
        "tua voz. /forget all: tudo o que é teu."
    ),
    not_yours=(
        "Só quem escreveu isso, ou de quem é a voz, pode mandar esquecê-lo; e os administradores "
        "deste grupo, e os meus."
    ),
    nothing_to_forget="Disse isso por mim, sem a voz de ninguém: não há nada para esquecer.",
    forgot_it="Esquecido: já não o guardo, e não vou aprender com isso.",
    forgot_all=(
        "Esquecido: {count} mensagens tuas. As cópias feitas antes, e o que aprendi "
        "antes, ainda duram algum tempo: vê /privacy."
    ),
    taken_back="Mensagens minhas que vieram daí e que apaguei aqui: {count}.",
    cannot_take_back=(
        "Mensagens minhas que vieram daí e que não consigo apagar: {count}. O Telegram só me deixa "
        "fazê-lo durante 48 horas; um administrador do grupo pode. Delas não guardo nada."
    ),
    privacy=(
        "Onde falo (nos grupos onde me deixaram entrar, e em privado com os meus administradores) "
        "guardo o que se escreve e quem o escreveu, para responder:\n"
        "• dos amigos que concordaram que eu fale com as vozes deles, até dizerem /optout ou "
        "/forget; posso aprender com isso quando me treinarem outra vez\n"
        "• de todos os outros durante este número de dias: {days}; depois é apagado, e nunca "
        "aprendo com isso\n"
        "• o que eu próprio disse, e a partir de que mensagens\n"
        "• quem disse /optin ou /optout e quando, os ids das mensagens esquecidas, as reações ao "
        "que eu disse, os palpites em /guess, que stickers um grupo usa mas não quem os mandou\n"
        "De outros chats, e também do que me escreves em privado, não guardo mensagens.\n\n"
        "/optout: nunca falo com a tua voz, e apago o que guardo de ti\n"
        "/forget, em resposta a uma mensagem: apago-a, e também o que eu disse por causa dela\n"
        "/forget all: o mesmo com tudo o que é teu\n"
        "O Telegram só me deixa apagar as minhas mensagens durante 48 horas.\n\n"
        "Às cópias não chego: as cópias de segurança da minha memória duram até serem apagadas, e "
        "o que aprendi com uma mensagem fica em mim até me treinarem outra vez sem ela. Fala com "
        "quem me gere.\n\n"
        "Quem me gere: {admins}"
    ),
    nobody_named="ainda ninguém escreveu o seu nome (ADMINS está vazio)",
    your_id=(
        "Olá! O teu id do Telegram é {user_id}. Se és tu que corres este bot, escreve esta linha "
        "no ficheiro .env e volta a iniciá-lo:\n\nADMINS={user_id}"
    ),
    status_model="Modelo {version}\ntreinado a partir de {base}",
    status_up="A funcionar há {time}",
    status_voices="Vozes: {names}",
    status_not_agreed="Sem acordo: {names}",
    status_nobody="ninguém",
    status_hears_all="Modo de privacidade: sem obstáculo, ouço tudo o que se diz",
    status_hears_commands=(
        "Modo de privacidade: ligado. Nos grupos só ouço comandos e respostas a mim, a não ser que "
        "seja lá administrador (@BotFather, /setprivacy)"
    ),
    status_updates="Atualizações à espera: {waiting}, postas de lado: {aside}",
    status_ids="Postas de lado por último: {ids} (o registo diz porquê)",
    status_replies="Respostas à espera: {waiting}, incertas: {uncertain}",
    status_jobs_well="Tarefas de fundo: todas a funcionar",
    status_job_fails=(
        "Tarefa de fundo a falhar: {job} ({error}, vezes seguidas: {times}). Volta a ser tentada; "
        "o registo diz porquê"
    ),
    status_database="Base de dados: {file}, {size}, mensagens: {messages}",
    status_messages="Mensagens guardadas deste grupo: {messages}, respostas à espera: {waiting}",
    status_groups="Grupos",
    status_here="Este grupo: {state}",
    status_no_groups="ainda nenhum",
    group_speaks="falo (qualquer grupo pode ouvir este modelo)",
    group_learned="falo, aprendi com ele",
    group_allowed="falo, um administrador permitiu",
    group_silent="calado até um administrador enviar lá /allow",
    group_not_let_in="calado, nenhum administrador me deixou entrar",
    now_speaking="Agora falo com a versão {version}{facts}.",
    trained_until=", treinada com mensagens até {day}",
    right_voice_change=(
        "Com que frequência reconheço as mensagens reais de cada pessoa como suas, antes → agora "
        "(mais alto é melhor; ao acaso seria {chance:.2f}):"
    ),
    refused_version="A versão que ia falar agora não serve; continuo com a {old}. {why}",
    the_model="Falo com a versão {version} de {base}{facts}.\nOutras versões: {others}",
    no_rollback="Não há volta atrás: {why}",
    export_too_large=(
        "O Telegram não dá a um bot mais de 20 MB. Comprime a exportação num zip, ou copia-a para "
        "a minha máquina e corre lá: understudy retrain {file}"
    ),
    export_refused="Não posso usar esse ficheiro: {why}.",
    export_lost="Não consegui descarregar esse ficheiro. Envia-o outra vez.",
    how_to_retrain=(
        "Guardei a exportação. Na minha máquina, corre:\n\nunderstudy retrain {path}\n\n"
        "Apago-a daqui a dois dias."
    ),
    still_retraining="Ainda estou ocupado com a exportação anterior.",
    retraining="Obrigado. Estou a treinar com ela; demora, e entretanto continuo a falar.",
    retrained="O treino acabou bem; a exportação foi apagada. {says}",
    retraining_failed="O treino falhou, por isso nada mudou; a exportação foi apagada. {why}",
    commands_for_all=(
        ("help", "O que sei fazer"),
        ("privacy", "O que guardo, e por quanto tempo"),
    ),
    commands_in_groups=(
        ("as", "Responder com a voz de um amigo: /as Hugo"),
        ("simulate", "Pôr os amigos a falar: /simulate 5"),
        ("stop", "Mandá-los parar"),
        ("quiet", "Não me meter na conversa: /quiet 8h"),
        ("why", "Em resposta a uma linha minha: como a fiz"),
        ("voices", "Com que vozes sei falar"),
        ("guess", "Quem disse isto, um amigo ou a máquina?"),
        ("optin", "Deixar-me falar com a tua voz"),
        ("optout", "Nunca falar com a minha voz"),
        ("forget", "Esquecer uma mensagem, em resposta a ela; ou tudo: /forget all"),
    ),
    commands_in_private=(
        ("optin", "Deixar-me falar com a tua voz"),
        ("optout", "Nunca falar com a minha voz"),
        ("forget", "Esquecer uma mensagem, em resposta a ela; ou tudo: /forget all"),
    ),
    commands_for_admins=(
        ("status", "Como estou"),
        ("model", "Que versão do modelo fala"),
        ("rollback", "Voltar à versão anterior"),
    ),
)
