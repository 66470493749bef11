"""Languages: told by script, function words and letters; left open where a text does not tell; named as PostgreSQL names them."""

import subprocess
import sys
import unicodedata

import pytest

from mentha.recall import language
from mentha.recall.language_table import CODES, SHARED

# Ordinary prose of eight words or more, written for this test: news, instructions, letters, tales.
SENTENCES = {
    "english": """The committee will meet again on Thursday to discuss the budget for next year.
Please make sure that all windows are closed before you leave the building.
She had never seen the sea before, and she could not stop looking at it.
Our server restarts every night at three, so short interruptions are to be expected.
Most of the houses in this street were built between the two wars.
If the payment fails, the customer receives an email with further instructions.
The old man sat by the fire and told them how he lost his boat.
Water boils at a lower temperature when the air pressure is low.""",
    "german": """Der Ausschuss trifft sich am Donnerstag wieder, um über den Haushalt zu beraten.
Bitte achten Sie darauf, dass alle Fenster geschlossen sind, bevor Sie gehen.
Sie hatte das Meer noch nie gesehen und konnte den Blick nicht abwenden.
Die meisten Häuser in dieser Straße wurden zwischen den beiden Kriegen gebaut.
Wenn die Zahlung fehlschlägt, erhält der Kunde eine Mail mit weiteren Hinweisen.
Der alte Mann saß am Feuer und erzählte, wie er sein Boot verlor.
Wasser kocht bei niedrigerer Temperatur, sobald der Luftdruck sinkt.
Wir haben gestern lange gewartet, aber niemand hat uns die Tür geöffnet.""",
    "french": """Le comité se réunira de nouveau jeudi pour discuter du budget de l'année prochaine.
Veuillez vérifier que toutes les fenêtres sont fermées avant de quitter le bâtiment.
Elle n'avait jamais vu la mer et ne pouvait pas en détacher les yeux.
La plupart des maisons de cette rue ont été construites entre les deux guerres.
Si le paiement échoue, le client reçoit un message avec des instructions.
Le vieil homme était assis près du feu et racontait comment il avait perdu son bateau.
L'eau bout à une température plus basse quand la pression de l'air diminue.
Nous avons attendu longtemps hier, mais personne ne nous a ouvert la porte.""",
    "spanish": """El comité se reunirá de nuevo el jueves para hablar del presupuesto del próximo año.
Por favor, compruebe que todas las ventanas están cerradas antes de salir del edificio.
Ella nunca había visto el mar y no podía dejar de mirarlo.
La mayoría de las casas de esta calle se construyeron entre las dos guerras.
Si el pago falla, el cliente recibe un correo con más instrucciones.
El viejo estaba sentado junto al fuego y contaba cómo perdió su barco.
El agua hierve a menor temperatura cuando la presión del aire es baja.
Ayer esperamos mucho tiempo, pero nadie nos abrió la puerta.""",
    "portuguese": """A comissão vai reunir-se de novo na quinta-feira para discutir o orçamento do próximo ano.
Por favor, verifique se todas as janelas estão fechadas antes de sair do edifício.
Ela nunca tinha visto o mar e não conseguia parar de olhar para ele.
A maior parte das casas desta rua foi construída entre as duas guerras.
Se o pagamento falhar, o cliente recebe uma mensagem com mais instruções.
O velho estava sentado perto do fogo e contava como perdeu o barco.
A água ferve a uma temperatura mais baixa quando a pressão do ar diminui.
Ontem esperamos muito tempo, mas ninguém nos abriu a porta.""",
    "italian": """Il comitato si riunirà di nuovo giovedì per discutere il bilancio dell'anno prossimo.
Si prega di controllare che tutte le finestre siano chiuse prima di lasciare l'edificio.
Non aveva mai visto il mare e non riusciva a smettere di guardarlo.
La maggior parte delle case di questa strada fu costruita tra le due guerre.
Se il pagamento non riesce, il cliente riceve un messaggio con altre istruzioni.
Il vecchio sedeva accanto al fuoco e raccontava come aveva perso la sua barca.
L'acqua bolle a una temperatura più bassa quando la pressione dell'aria diminuisce.
Ieri abbiamo aspettato a lungo, ma nessuno ci ha aperto la porta.""",
    "dutch": """De commissie komt donderdag weer bijeen om over de begroting van volgend jaar te praten.
Zorg ervoor dat alle ramen dicht zijn voordat u het gebouw verlaat.
Ze had de zee nog nooit gezien en kon haar ogen er niet van afhouden.
De meeste huizen in deze straat zijn tussen de twee oorlogen gebouwd.
Als de betaling mislukt, krijgt de klant een bericht met verdere aanwijzingen.
De oude man zat bij het vuur en vertelde hoe hij zijn boot verloor.
Water kookt bij een lagere temperatuur wanneer de luchtdruk daalt.
We hebben gisteren lang gewacht, maar niemand deed de deur voor ons open.""",
    "danish": """Udvalget mødes igen på torsdag for at drøfte næste års budget.
Sørg for, at alle vinduer er lukkede, før du forlader bygningen.
Hun havde aldrig set havet før og kunne ikke holde op med at kigge på det.
De fleste af husene i denne gade blev bygget mellem de to krige.
Hvis betalingen mislykkes, får kunden en besked med yderligere vejledning.
Den gamle mand sad ved ilden og fortalte, hvordan han mistede sin båd.
Vand koger ved en lavere temperatur, når lufttrykket er lavt.
Vi ventede længe i går, men ingen lukkede os ind ad døren.""",
    "norwegian": """Utvalget møtes igjen på torsdag for å drøfte neste års budsjett.
Pass på at alle vinduer er lukket før du forlater bygningen.
Hun hadde aldri sett havet før og klarte ikke å slutte å se på det.
De fleste av husene i denne gata ble bygd mellom de to krigene.
Hvis betalingen mislykkes, får kunden en melding med videre veiledning.
Den gamle mannen satt ved bålet og fortalte hvordan han mistet båten sin.
Vann koker ved lavere temperatur når lufttrykket er lavt, også oppe på fjellet.
Eg veit ikkje kva som hende, men dei kom aldri heim frå fjellet.""",
    "swedish": """Utskottet träffas igen på torsdag för att diskutera nästa års budget.
Se till att alla fönster är stängda innan du lämnar byggnaden.
Hon hade aldrig sett havet förut och kunde inte sluta titta på det.
De flesta av husen på den här gatan byggdes mellan de två krigen.
Om betalningen misslyckas får kunden ett meddelande med ytterligare anvisningar.
Den gamle mannen satt vid elden och berättade hur han förlorade sin båt.
Vatten kokar vid en lägre temperatur när lufttrycket är lågt.
Vi väntade länge i går men ingen öppnade dörren för oss.""",
    "finnish": """Valiokunta kokoontuu torstaina uudelleen keskustelemaan ensi vuoden talousarviosta.
Varmista, että kaikki ikkunat ovat kiinni, ennen kuin poistut rakennuksesta.
Hän ei ollut koskaan nähnyt merta eikä voinut lakata katsomasta sitä.
Useimmat tämän kadun talot on rakennettu kahden sodan välisenä aikana.
Jos maksu epäonnistuu, asiakas saa viestin, jossa on lisäohjeita.
Vanha mies istui tulen ääressä ja kertoi, miten hän menetti veneensä.
Vesi kiehuu matalammassa lämpötilassa, kun ilmanpaine on alhainen.
Odotimme eilen kauan, mutta kukaan ei avannut meille ovea.""",
    "hungarian": """A bizottság csütörtökön ismét összeül, hogy megvitassa a jövő évi költségvetést.
Kérjük, ellenőrizze, hogy minden ablak be van-e csukva, mielőtt elhagyja az épületet.
Még soha nem látta a tengert, és nem tudta levenni róla a szemét.
Az utcában a legtöbb ház a két háború között épült.
Ha a fizetés nem sikerül, az ügyfél levelet kap a további teendőkről.
Az öreg a tűz mellett ült, és elmesélte, hogyan veszítette el a csónakját.
A víz alacsonyabb hőmérsékleten forr, ha kicsi a légnyomás.
Tegnap sokáig vártunk, de senki sem nyitott nekünk ajtót.""",
    "romanian": """Comitetul se va întruni din nou joi pentru a discuta bugetul de anul viitor.
Vă rugăm să verificați dacă toate ferestrele sunt închise înainte de a pleca.
Nu mai văzuse niciodată marea și nu putea să-și ia ochii de la ea.
Cele mai multe case de pe această stradă au fost construite între cele două războaie.
Dacă plata nu reușește, clientul primește un mesaj cu alte instrucțiuni.
Bătrânul stătea lângă foc și povestea cum și-a pierdut barca.
Apa fierbe la o temperatură mai mică atunci când presiunea aerului este scăzută.
Am asteptat mult ieri, dar nimeni nu ne-a deschis usa.""",
    "turkish": """Kurul gelecek yılın bütçesini görüşmek için perşembe günü yeniden toplanacak.
Lütfen binadan çıkmadan önce bütün pencerelerin kapalı olduğundan emin olun.
Daha önce denizi hiç görmemişti ve gözlerini ondan ayıramıyordu.
Bu sokaktaki evlerin çoğu iki savaş arasında yapılmıştır.
Ödeme başarısız olursa müşteriye ne yapması gerektiğini anlatan bir ileti gönderilir.
Yaşlı adam ateşin yanında oturuyor ve teknesini nasıl kaybettiğini anlatıyordu.
Hava basıncı düşük olduğunda su daha düşük bir sıcaklıkta kaynar.
Dün çok bekledik ama kimse bize kapıyı açmadı.""",
    "polish": """Komisja zbierze się ponownie w czwartek, aby omówić budżet na przyszły rok.
Proszę sprawdzić, czy wszystkie okna są zamknięte, zanim opuścisz budynek.
Nigdy wcześniej nie widziała morza i nie mogła oderwać od niego wzroku.
Większość domów przy tej ulicy zbudowano między dwiema wojnami.
Jeśli płatność się nie powiedzie, klient otrzyma wiadomość z dalszymi wskazówkami.
Stary człowiek siedział przy ogniu i opowiadał, jak stracił swoją łódź.
Woda wrze w niższej temperaturze, gdy ciśnienie powietrza jest małe.
Czekaliśmy wczoraj długo, ale nikt nie otworzył nam drzwi.""",
    "czech": """Výbor se ve čtvrtek znovu sejde, aby projednal rozpočet na příští rok.
Než odejdete z budovy, zkontrolujte prosím, zda jsou všechna okna zavřená.
Nikdy předtím neviděla moře a nemohla od něj odtrhnout oči.
Většina domů v této ulici byla postavena mezi dvěma válkami.
Pokud se platba nezdaří, zákazník dostane zprávu s dalšími pokyny.
Starý muž seděl u ohně a vyprávěl, jak přišel o svůj člun.
Voda vře při nižší teplotě, když je tlak vzduchu nízký.
Včera jsme dlouho čekali, ale nikdo nám neotevřel dveře.""",
    "catalan": """El comitè es tornarà a reunir dijous per parlar del pressupost de l'any vinent.
Si us plau, comproveu que totes les finestres estiguin tancades abans de sortir.
Ella no havia vist mai el mar i no podia deixar de mirar-lo.
La majoria de les cases d'aquest carrer es van construir entre les dues guerres.
Si el pagament falla, el client rep un missatge amb més instruccions.
El vell seia vora el foc i explicava com havia perdut la seva barca.
L'aigua bull a una temperatura més baixa quan la pressió de l'aire és petita.
Ahir vam esperar molta estona, però ningú no ens va obrir la porta.""",
    "indonesian": """Panitia akan bertemu lagi pada hari Kamis untuk membahas anggaran tahun depan.
Pastikan semua jendela sudah ditutup sebelum Anda meninggalkan gedung ini.
Dia belum pernah melihat laut dan tidak bisa berhenti memandangnya.
Sebagian besar rumah di jalan ini dibangun di antara dua perang.
Jika pembayaran gagal, pelanggan akan menerima pesan dengan petunjuk lebih lanjut.
Orang tua itu duduk di dekat api dan bercerita bagaimana ia kehilangan perahunya.
Air mendidih pada suhu yang lebih rendah ketika tekanan udara rendah.
Kemarin kami menunggu lama, tetapi tidak ada yang membukakan pintu.""",
    "lithuanian": """Komitetas ketvirtadienį vėl susirinks aptarti kitų metų biudžeto, kuris dar nėra patvirtintas.
Prašome patikrinti, ar visi langai uždaryti, prieš išeinant iš pastato.
Ji niekada nebuvo mačiusi jūros ir negalėjo atitraukti nuo jos akių.
Dauguma šios gatvės namų buvo pastatyti tarp dviejų karų.
Jei mokėjimas nepavyksta, klientas gauna laišką su tolesniais nurodymais.
Senis sėdėjo prie ugnies ir pasakojo, kaip prarado savo valtį.
Vanduo verda žemesnėje temperatūroje, kai oro slėgis yra mažas.
Vakar ilgai laukėme, bet niekas mums neatidarė durų.""",
    "irish": """Buailfidh an coiste le chéile arís Déardaoin chun buiséad na bliana seo chugainn a phlé.
Déan cinnte go bhfuil na fuinneoga go léir dúnta sula bhfágann tú an foirgneamh.
Ní fhaca sí an fharraige riamh roimhe sin agus níor fhéad sí stopadh ag féachaint uirthi.
Tógadh an chuid is mó de na tithe ar an tsráid seo idir an dá chogadh.
Má theipeann ar an íocaíocht, faigheann an custaiméir teachtaireacht le tuilleadh treoracha.
Bhí an seanfhear ina shuí cois na tine ag insint conas a chaill sé a bhád.
Bíonn an t-uisce ag fiuchadh ag teocht níos ísle nuair atá brú an aeir íseal.
D'fhan muid i bhfad inné ach níor oscail aon duine an doras dúinn.""",
    "basque": """Batzordea ostegunean bilduko da berriro, datorren urteko aurrekontuaz hitz egiteko.
Mesedez, ziurtatu leiho guztiak itxita daudela eraikinetik irten baino lehen.
Inoiz ez zuen itsasoa ikusi, eta ezin zion begiratzeari utzi.
Kale honetako etxe gehienak bi gerren artean eraiki ziren.
Ordainketak huts egiten badu, bezeroak mezu bat jasotzen du argibide gehiagorekin.
Agurea suaren ondoan eserita zegoen, eta bere ontzia nola galdu zuen kontatzen zuen.
Urak tenperatura baxuagoan irakiten du airearen presioa txikia denean.
Atzo denbora luzez itxaron genuen, baina inork ez zigun atea ireki.""",
    "estonian": """Komisjon koguneb neljapäeval uuesti, et arutada järgmise aasta eelarvet.
Palun veenduge, et kõik aknad on kinni, enne kui hoonest lahkute.
Ta polnud kunagi merd näinud ega suutnud sellelt pilku pöörata.
Enamik selle tänava majadest on ehitatud kahe sõja vahel.
Kui makse ebaõnnestub, saab klient kirja edasiste juhistega.
Vana mees istus tule ääres ja jutustas, kuidas ta oma paadi kaotas.
Vesi keeb madalamal temperatuuril, kui õhurõhk on väike.
Ootasime eile kaua, aga keegi ei avanud meile ust.""",
    "vietnamese": """Ủy ban sẽ họp lại vào thứ năm để thảo luận về ngân sách năm sau.
Vui lòng kiểm tra rằng tất cả các cửa sổ đã đóng trước khi rời tòa nhà.
Cô ấy chưa bao giờ nhìn thấy biển và không thể rời mắt khỏi nó.
Hầu hết các ngôi nhà trên con phố này được xây giữa hai cuộc chiến.
Nếu thanh toán không thành công, khách hàng sẽ nhận được hướng dẫn thêm.
Ông lão ngồi bên bếp lửa và kể chuyện ông mất chiếc thuyền như thế nào.
Nước sôi ở nhiệt độ thấp hơn khi áp suất không khí thấp.
Hôm qua chúng tôi đã đợi rất lâu nhưng không ai mở cửa.""",
    "slovak": """Výbor sa vo štvrtok opäť stretne, aby prerokoval rozpočet na budúci rok.
Skôr než odídete z budovy, skontrolujte, či sú všetky okná zatvorené.
Nikdy predtým nevidela more a nemohla od neho odtrhnúť oči.
Starý muž sedel pri ohni a rozprával, ako prišiel o svoj čln.""",
    "croatian": """Odbor će se ponovno sastati u četvrtak kako bi raspravio proračun za iduću godinu.
Molimo provjerite jesu li svi prozori zatvoreni prije nego što napustite zgradu.
Nikada prije nije vidjela more i nije mogla prestati gledati u njega.
Starac je sjedio kraj vatre i pričao kako je izgubio svoj čamac.""",
    "slovenian": """Odbor se bo v četrtek znova sestal, da bi razpravljal o proračunu za prihodnje leto.
Prosimo, preverite, ali so vsa okna zaprta, preden zapustite stavbo.
Nikoli prej ni videla morja in ni mogla odvrniti pogleda od njega.
Starec je sedel ob ognju in pripovedoval, kako je izgubil svoj čoln.""",
    "latvian": """Komiteja ceturtdien atkal tiksies, lai apspriestu nākamā gada budžetu.
Lūdzu, pārliecinieties, ka visi logi ir aizvērti, pirms atstājat ēku.
Viņa nekad agrāk nebija redzējusi jūru un nevarēja no tās atraut acis.
Vecais vīrs sēdēja pie uguns un stāstīja, kā pazaudēja savu laivu.""",
    "icelandic": """Nefndin hittist aftur á fimmtudaginn til að ræða fjárlög næsta árs.
Gakktu úr skugga um að allir gluggar séu lokaðir áður en þú ferð.
Hún hafði aldrei séð hafið áður og gat ekki hætt að horfa á það.
Gamli maðurinn sat við eldinn og sagði frá því hvernig hann missti bátinn.""",
    "welsh": """Bydd y pwyllgor yn cyfarfod eto ddydd Iau i drafod y gyllideb.
Gwnewch yn siŵr bod pob ffenestr ar gau cyn i chi adael yr adeilad.
Doedd hi erioed wedi gweld y môr ac ni allai roi'r gorau i edrych arno.""",
    "afrikaans": """Die komitee sal Donderdag weer vergader om die begroting vir volgende jaar te bespreek.
Maak asseblief seker dat al die vensters toe is voordat jy die gebou verlaat.
Sy het nog nooit die see gesien nie en kon nie ophou kyk nie.""",
    "albanian": """Komiteti do të mblidhet përsëri të enjten për të diskutuar buxhetin e vitit të ardhshëm.
Ju lutem sigurohuni që të gjitha dritaret të jenë të mbyllura para se të dilni.
Ajo nuk e kishte parë kurrë detin dhe nuk mund të hiqte sytë prej tij.""",
    "swahili": """Kamati itakutana tena siku ya Alhamisi kujadili bajeti ya mwaka ujao.
Tafadhali hakikisha kwamba madirisha yote yamefungwa kabla ya kuondoka katika jengo hili.
Hakuwa amewahi kuona bahari na hakuweza kuacha kuitazama kwa muda mrefu.""",
    "tagalog": """Magpupulong muli ang komite sa Huwebes upang talakayin ang badyet para sa susunod na taon.
Pakitiyak na nakasara ang lahat ng bintana bago ka umalis sa gusali.
Hindi pa niya nakita ang dagat noon at hindi niya mapigilang tumingin dito.""",
    "russian": """Комитет снова соберётся в четверг, чтобы обсудить бюджет на следующий год.
Пожалуйста, убедитесь, что все окна закрыты, прежде чем выйти из здания.
Она никогда раньше не видела моря и не могла отвести от него глаз.
Большинство домов на этой улице построено между двумя войнами.
Старик сидел у огня и рассказывал, как потерял свою лодку.
Вода кипит при более низкой температуре, когда давление воздуха мало.""",
    "ukrainian": """Комітет знову збереться в четвер, щоб обговорити бюджет на наступний рік.
Будь ласка, переконайтеся, що всі вікна зачинені, перш ніж вийти з будівлі.
Вона ніколи раніше не бачила моря і не могла відвести від нього очей.
Старий сидів біля вогню й розповідав, як утратив свого човна.""",
    "belarusian": """Камітэт зноў збярэцца ў чацвер, каб абмеркаваць бюджэт на наступны год.
Калі ласка, праверце, ці зачынены ўсе вокны, перш чым выйсці з будынка.
Яна ніколі раней не бачыла мора і не магла адвесці ад яго вачэй.""",
    "bulgarian": """Комитетът ще се събере отново в четвъртък, за да обсъди бюджета за следващата година.
Моля, уверете се, че всички прозорци са затворени, преди да напуснете сградата.
Тя никога преди не беше виждала морето и не можеше да откъсне поглед от него.
Повечето от къщите на тази улица са построени между двете войни.""",
    "serbian": """Одбор ће се поново састати у четвртак да расправља о буџету за следећу годину.
Молимо проверите да ли су сви прозори затворени пре него што изађете из зграде.
Никада раније није видела море и није могла да скине поглед са њега.""",
    "macedonian": """Комитетот повторно ќе се состане во четврток за да разговара за буџетот за следната година.
Ве молиме проверете дали сите прозорци се затворени пред да излезете од зградата.
Таа никогаш порано го немаше видено морето и не можеше да го тргне погледот.""",
    "arabic": """ستجتمع اللجنة مرة أخرى يوم الخميس لمناقشة ميزانية العام المقبل.
يرجى التأكد من أن جميع النوافذ مغلقة قبل مغادرة المبنى.
لم تكن قد رأت البحر من قبل ولم تستطع أن تحول نظرها عنه.
جلس الرجل العجوز قرب النار وهو يروي كيف فقد قاربه.""",
    "persian": """کمیته روز پنجشنبه دوباره برای بحث درباره بودجه سال آینده تشکیل جلسه می‌دهد.
لطفاً پیش از ترک ساختمان مطمئن شوید که همه پنجره‌ها بسته هستند.
او پیش از آن هرگز دریا را ندیده بود و نمی‌توانست از آن چشم بردارد.""",
    "urdu": """کمیٹی اگلے سال کے بجٹ پر بات کرنے کے لیے جمعرات کو دوبارہ ملے گی۔
براہ کرم عمارت سے نکلنے سے پہلے یقین کر لیں کہ تمام کھڑکیاں بند ہیں۔
اس نے پہلے کبھی سمندر نہیں دیکھا تھا اور وہ اسے دیکھتی رہ گئی۔""",
    "hindi": """समिति अगले साल के बजट पर चर्चा करने के लिए गुरुवार को फिर मिलेगी।
कृपया इमारत से निकलने से पहले देख लें कि सभी खिड़कियाँ बंद हैं।
उसने पहले कभी समुद्र नहीं देखा था और वह उसे देखती ही रह गई।""",
    "nepali": """समितिले आगामी वर्षको बजेटबारे छलफल गर्न बिहीबार फेरि बैठक बस्नेछ।
कृपया भवनबाट निस्कनुअघि सबै झ्यालहरू बन्द छन् भनी निश्चित गर्नुहोस्।
उनले पहिले कहिल्यै समुद्र देखेकी थिइनन् र त्यसबाट आँखा हटाउन सकिनन्।""",
    "marathi": """पुढील वर्षाच्या अर्थसंकल्पावर चर्चा करण्यासाठी समिती गुरुवारी पुन्हा भेटणार आहे.
कृपया इमारतीतून बाहेर पडण्यापूर्वी सर्व खिडक्या बंद आहेत याची खात्री करा.
तिने यापूर्वी कधीही समुद्र पाहिला नव्हता आणि ती त्याकडे पाहतच राहिली होती.""",
    "hebrew": """הוועדה תתכנס שוב ביום חמישי כדי לדון בתקציב של השנה הבאה.
אנא ודאו שכל החלונות סגורים לפני שאתם יוצאים מן הבניין.
היא לא ראתה את הים מעולם ולא יכלה להסיר ממנו את עיניה.""",
    "yiddish": """די קאָמיטע וועט זיך ווידער טרעפֿן דאָנערשטיק צו רעדן וועגן דעם בודזשעט.
זי האָט קיין מאָל ניט געזען דעם ים און האָט ניט געקענט אויפֿהערן צו קוקן.
דער אַלטער מאַן איז געזעסן בײַם פֿײַער און האָט דערציילט ווי אַזוי ער האָט פֿאַרלוירן זײַן שיף.""",
    "greek": """Η επιτροπή θα συνεδριάσει ξανά την Πέμπτη για να συζητήσει τον προϋπολογισμό.
Βεβαιωθείτε ότι όλα τα παράθυρα είναι κλειστά πριν φύγετε από το κτίριο.""",
    "armenian": """Հանձնաժողովը կրկին կհավաքվի հինգշաբթի օրը՝ քննարկելու հաջորդ տարվա բյուջեն։""",
    "georgian": """კომიტეტი ხუთშაბათს კვლავ შეიკრიბება, რათა განიხილოს მომავალი წლის ბიუჯეტი.""",
    "thai": """คณะกรรมการจะประชุมอีกครั้งในวันพฤหัสบดีเพื่อหารือเรื่องงบประมาณปีหน้า
กรุณาตรวจสอบว่าหน้าต่างทุกบานปิดแล้วก่อนออกจากอาคาร""",
    "korean": """위원회는 내년 예산을 논의하기 위해 목요일에 다시 모일 예정입니다.
건물을 나가기 전에 모든 창문이 닫혀 있는지 확인해 주세요.""",
    "japanese": """委員会は来年度の予算を話し合うために木曜日に再び集まる予定です。
建物を出る前に、すべての窓が閉まっていることを確認してください。""",
    "chinese": """委员会将于星期四再次开会，讨论明年的预算。
離開大樓之前，請確認所有的窗戶都已經關好。""",
    "tamil": """அடுத்த ஆண்டின் வரவு செலவுத் திட்டத்தைப் பற்றி விவாதிக்க குழு வியாழக்கிழமை மீண்டும் கூடும்.""",
    "bengali": """আগামী বছরের বাজেট নিয়ে আলোচনা করতে কমিটি বৃহস্পতিবার আবার বসবে।""",
    "telugu": """వచ్చే సంవత్సరం బడ్జెట్ గురించి చర్చించడానికి కమిటీ గురువారం మళ్ళీ సమావేశమవుతుంది.""",
    "amharic": """ኮሚቴው ስለሚቀጥለው ዓመት በጀት ለመወያየት ሐሙስ ቀን እንደገና ይሰበሰባል።""",
    "burmese": """ကော်မတီသည် လာမည့်နှစ် ဘတ်ဂျက်ကို ဆွေးနွေးရန် ကြာသပတေးနေ့တွင် ထပ်မံတွေ့ဆုံမည်။""",
    "khmer": """គណៈកម្មាធិការនឹងជួបប្រជុំម្តងទៀតនៅថ្ងៃព្រហស្បតិ៍ ដើម្បីពិភាក្សាអំពីថវិកា។""",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentence_of_a_language_is_told(name: str) -> None:
    for sentence in SENTENCES[name].splitlines():
        assert language.detect(sentence) == name, sentence


@pytest.mark.parametrize("name", [name for name in SENTENCES if len(SENTENCES[name].splitlines()) >= 4])
def test_text_of_a_language_is_told_in_capitals_and_taken_apart(name: str) -> None:
    """Marks apart from their letters, as some systems store file names."""
    assert language.detect(SENTENCES[name].upper()) == name
    assert language.detect(unicodedata.normalize("NFD", SENTENCES[name])) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("how do I reset my password?", "english"),
        ("What is the refund policy", "english"),
        ("wie setze ich mein Passwort zurück", "german"),
        ("comment réinitialiser mon mot de passe", "french"),
        ("cómo restablezco mi contraseña", "spanish"),
        ("como redefinir a minha senha", "portuguese"),
        ("jak zresetować hasło do konta", "polish"),
        ("北京", "chinese"),
        ("東京駅", "japanese"),
        ("東京タワー", "japanese"),
        ("비밀번호 재설정", "korean"),
        ("รีเซ็ตรหัสผ่าน", "thai"),
        ("סיסמה", "hebrew"),
    ],
)
def test_short_query_with_clear_evidence_is_told(text: str, name: str) -> None:
    assert language.detect(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "12345 !!! 67",
        "\0\ud800\udfff",
        "reset password",
        "pizza margherita",
        "user_id: 12, is_active: true",
        "5 μm",
        "Привет",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
        "qvx zrj kwpf blrt mnop qrst uvwx dfgh " * 20,
    ],
)
def test_text_that_tells_nothing_is_unknown(text: str) -> None:
    assert language.detect(text) == language.UNKNOWN


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("使用 Python 3.11 和 FastAPI 开发 web 服务 mentha_config_settings", "chinese"),
        ("MENTHA_DATABASE_URL を設定してから mentha serve を実行してください", "japanese"),
        ("Запустите команду mentha serve --no-worker, чтобы сервер не выполнял задания", "russian"),
        ("The Greek letter μ and the word λόγος stand in an English sentence here.", "english"),
        ("Das Zitat «to be or not to be» steht in einem Satz, der sonst deutsch ist und bleibt.", "german"),
        ("Der französische Satz: C'est la vie. " + SENTENCES["german"], "german"),
    ],
)
def test_mixed_text_has_the_language_of_most_of_it(text: str, name: str) -> None:
    assert language.detect(text) == name


def test_only_the_beginning_of_a_text_is_looked_at() -> None:
    beginning = (SENTENCES["german"] + " ") * (language.CHARS_MAX // len(SENTENCES["german"]) + 1)
    assert language.detect(beginning + SENTENCES["english"] * 100) == "german"


def test_same_text_scores_the_same_whatever_the_order_of_sets() -> None:
    """Hashes of strings differ between processes; sums of fractions depend on their order, and a tie on a sum."""
    script = "from mentha.recall import language; import sys; print(*map(language.detect, sys.stdin.read().splitlines()))"
    lines = "\n".join(
        sentence for name in ("danish", "norwegian", "swedish", "croatian", "slovenian") for sentence in SENTENCES[name].splitlines()
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script], input=lines, text=True, capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("en-US", "english"),
        ("en", "english"),
        ("EN_gb", "english"),
        ("pt-BR", "portuguese"),
        ("zh-Hant", "chinese"),
        ("zh-Hans-CN", "chinese"),
        ("yue", "chinese"),
        ("sr-Latn", "serbian"),
        ("nb-NO", "norwegian"),
        ("iw", "hebrew"),
        ("deu", "german"),
        ("english", "english"),
        ("English ", "english"),
        ("unknown", "unknown"),
        ("x-klingon", "unknown"),
        ("", "unknown"),
        ("-", "unknown"),
        ("en" * 1000, "unknown"),
    ],
)
def test_tag_of_a_language_gives_its_name(tag: str, name: str) -> None:
    assert language.of_tag(tag) == name


@pytest.mark.parametrize("name", SENTENCES)
def test_language_that_can_be_told_has_a_tag(name: str) -> None:
    """So that whoever gives a tag, and whoever leaves it to us, means the same."""
    assert language.of_tag(name) == name
    assert language.of_tag(CODES[name].split()[0]) == name


def test_code_of_a_language_is_of_that_one_alone() -> None:
    codes = [code for listed in CODES.values() for code in listed.split()]
    assert len(codes) == len(set(codes))
    assert set(codes) & set(CODES) == {"lao"}


def test_configuration_of_a_language_is_its_stemmer_or_none() -> None:
    assert language.configuration("german") == "german"
    assert language.configuration("chinese") == language.configuration("unknown") == language.configuration("klingon") == "simple"
    assert set(language.CONFIGURATIONS) <= set(CODES)


def test_table_of_languages_is_in_the_form_in_which_texts_are_compared() -> None:
    """A capital or a letter taken apart in the table would never be found."""
    for traits in SHARED.values():
        for name, each in traits.items():
            for line in each:
                assert line == unicodedata.normalize("NFKC", line).lower(), name
            assert len(each.words.split()) == len(set(each.words.split())), name
            assert all(len(sign.rstrip("$")) <= language.ENDING_CHARS_MAX for sign in each.signs.split()), name
