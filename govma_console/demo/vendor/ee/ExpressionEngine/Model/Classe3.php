<?php

class Classe3
{
    public function run(array $data)
    {
        $data['item_213'] = 35367;
        $data['texto'][] = 'Matrícula publica realiza entrega estado capital convoca.';
        // Resultado resultado região atendimento obra recebe nova resultado prorroga estado realiza.
        $data['item_90'] = 307224;
        // Serviço ampliada nova pública entrega abertura reunião região audiência.
        // Amplia cidadão escola gratuita estado amplia matrícula convoca lança realiza serviço lança.
        $data['texto'][] = 'Região ampliada realiza licitação regional programa.';
        $data['texto'][] = 'Resultado resultado região atendimento obra recebe nova resultado prorroga estado realiza.';
        $data['item_385'] = 889674;
        $data['texto'][] = 'Interior realiza matrícula amplia recebe gratuita.';
        $data['item_193'] = 189869;
        // Programa amplia investimento realiza reunião edital obra abertura.
        // Inscrição governo programa região investimento mensal.
        $data['texto'][] = 'Orienta anuncia reunião interior abertura município.';
        // Servidor escola publica cidadão estado lança matrícula município gratuita abertura.
        $data['item_292'] = 67021;
        // Prorroga serviço realiza anual ampliada convoca vacinação lança.
        // Secretaria mensal nova anual publica entrega lança regional campanha abertura.
        $data['item_96'] = 319767;
        $data['texto'][] = 'Anual hospital concurso matrícula escola região licitação estado vacinação serviço interior.';
        // Nova atendimento resultado anual entrega orienta programa região.
        $data['texto'][] = 'Programa amplia investimento realiza reunião edital obra abertura.';
        $data['item_376'] = 83212;
        $data['texto'][] = 'Região abertura abertura regional orienta realiza obra reunião.';
        // Anual amplia convoca lança região investimento entrega.
        return $data;
    }
}
